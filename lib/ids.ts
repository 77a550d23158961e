import { randomBytes } from 'node:crypto'

/** Longest id, in characters: the limit of a DNS label (RFC 1123), so that an id can also be a Kubernetes name. */
export const MAX_ID_LENGTH = 63

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/

/** Tells whether a text is a DNS label (lower case, at most 63 characters); every session and member id is one, which makes it safe as Redis key, path and cgroup name. */
export function isDnsLabel(text: string): boolean {
  return text.length <= MAX_ID_LENGTH && DNS_LABEL.test(text)
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'

function randomLabel(length: number): string {
  let label = ''
  for (const byte of randomBytes(length)) label += BASE32[byte & 31]
  return label
}

/** Makes a session id: 24 base32 characters, 120 random bits. */
export function newSessionId(): string {
  return randomLabel(24)
}

/** Makes a boot id, which names one run of a pod's process: 20 base32 characters, 100 random bits. */
export function newBootId(): string {
  return randomLabel(20)
}
