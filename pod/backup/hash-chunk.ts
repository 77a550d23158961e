import { hash, webcrypto } from 'node:crypto'
import type { BlobRef } from './store.ts'

// Below this, handing the work to another thread costs more than the work.
const INLINE_BYTES = 64 * 1024

/** The name of a piece of content; large pieces are hashed off the event loop. */
export async function hashChunk(data: Uint8Array<ArrayBuffer>): Promise<BlobRef> {
  if (data.length <= INLINE_BYTES) return { sha256: hash('sha256', data), size: data.length }
  const digest = await webcrypto.subtle.digest('SHA-256', data)
  return { sha256: Buffer.from(digest).toString('hex'), size: data.length }
}
