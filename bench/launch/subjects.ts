import { SUBJECT_NAMES, type SubjectName } from '../options.ts'
import type { Subject } from '../subject.ts'
import { gatewaySubject } from './gateway.ts'
import { haproxySubject } from './haproxy.ts'
import { nginxSubject } from './nginx.ts'
import { nodeProgramSubject } from './node-program.ts'

const SUBJECTS: Readonly<Record<SubjectName, Subject>> = {
  fairlead: gatewaySubject({ transport: 'stream', accessLog: false }),
  'fairlead+log': gatewaySubject({ transport: 'stream', accessLog: true }),
  'fairlead-handle': gatewaySubject({ transport: 'handle', accessLog: false }),
  'fairlead-handle+log': gatewaySubject({ transport: 'handle', accessLog: true }),
  engine: nodeProgramSubject({
    name: 'engine',
    summary: "the gateway's HTTP engine with a table in memory: no registry, metrics or log",
    program: 'engine.ts'
  }),
  nginx: nginxSubject(false),
  'nginx+log': nginxSubject(true),
  haproxy: haproxySubject,
  undici: nodeProgramSubject({
    name: 'undici',
    summary: 'node:http with undici dispatch, raw headers, no pipelining',
    program: 'undici-proxy.ts'
  }),
  'http-proxy-3': nodeProgramSubject({
    name: 'http-proxy-3',
    summary: 'http-proxy-3 with a keep-alive agent',
    program: 'http-proxy-3.ts'
  })
}

/** The subjects asked for, in the order of the tables. */
export function selectSubjects(names: readonly SubjectName[]): Subject[] {
  return SUBJECT_NAMES.filter(name => names.includes(name)).map(name => SUBJECTS[name])
}
