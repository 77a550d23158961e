/** A difference between this engine and the reference that is known and wanted. */
export interface Difference {
  /** What differs, as the test names it. */
  readonly facets: string
  /** The statuses that our client gets. */
  readonly engine: string
  readonly why: string
}

/** Why this engine and node:http with undici differ. */
const WHY = {
  afterClose:
    'a client that announced the end gets its answer, what it sends after that is not read; node:http refuses the connection for it before it answers',
  asterisk: 'OPTIONS * asks about the server and passes; undici refuses to send a target without a slash',
  authority:
    'an authority with user information or without a host is refused, because it would become the Host that others believe; the reference drops it unread',
  bounds:
    'the bounds differ: here 8 KB of target, 32 KB of head and 128 fields, in node:http 16 KB of head and 2,000 fields of which it drops the rest in silence',
  coding:
    'a transfer coding other than exactly chunked is refused; node:http and undici decode the chunks of "gzip, chunked" and drop the word, so that the receiver does not know of the gzip',
  connect: 'CONNECT is answered with 405; node:http without a listener for it closes without an answer',
  continue:
    'Expect: 100-continue passes, and whether to continue is the upstream to say; node:http says it itself, undici cannot send it on',
  emptyLines: 'one empty line before a request is forgiven (RFC 9112 section 2.2), node:http forgives any number',
  expect: 'an expectation is the upstream to judge; node:http answers 417 itself',
  extension: 'long chunk extensions are refused with 400, in node:http it is 413',
  extensionName: 'an extension must have a name (RFC 9112 section 7.1.1); node:http lets ";=b" pass',
  host: 'a Host that is no host name and port is refused; node:http does not look at it',
  hosts: 'a repeated Host is refused, as RFC 9112 section 3.2 demands; node:http takes the first',
  interim: 'interim responses pass; undici takes a 100 for an error and the reference drops a 103',
  latin1: 'field values pass byte for byte; the reference takes the bytes of a value for UTF-8 and writes others',
  lenient:
    'the request line and what is before it must be exactly as the grammar says; node:http is lenient with white space',
  method: 'any token is a method; node:http knows a fixed list',
  nominated:
    'a message whose Connection names a field that framing or routing rests on is refused; the reference drops the field and goes on',
  oldChunked: 'Transfer-Encoding in HTTP/1.0 is refused, as RFC 9112 section 6.1 advises; node:http reads it',
  oldVersion: 'a request line without a version is HTTP/0.9, which is refused; node:http takes it',
  overrun: 'both cut the response at the malformed chunk; here the good bytes of the same read are lost too',
  pipelinedBad: 'a good request is answered before the bad one behind it is refused; node:http refuses both at once',
  queryOnly: 'an absolute form with a query and no path gets the slash that it lacks; undici refuses it',
  reset: 'a response that ends with a reset is cut at the client too; the reference ends it as if it were whole',
  routing: 'a repeated field that requests are routed by is refused; to node:http it is one like any other',
  status: 'a status above 599 is refused (RFC 9110 section 15)',
  target: 'refused at once; the reference passes it to undici, which throws',
  trailerField:
    'a trailer with the name of a field that framing or routing rests on is refused; the reference drops all trailers',
  trailers: 'trailers pass; the reference drops them',
  upgrade: 'a repeated Upgrade is refused; node:http does not look at it',
  version:
    'versions other than 1.0 and 1.1 get 505 or, from an upstream, 502; node:http and undici take 0.9 and 2.0 too',
  zeros: 'a chunk size has at most 13 digits; node:http skips any number of zeros'
} as const

/** Requests that the two proxies treat differently, by the name of the case. */
export const REQUEST_DIFFERENCES: Readonly<Record<string, Difference>> = {
  'close, then more': { facets: 'statuses answer', engine: '200', why: WHY.afterClose },
  'OPTIONS asterisk': { facets: 'requests statuses answer', engine: '200', why: WHY.asterisk },
  'absolute form with user information': {
    facets: 'requests statuses answer ending',
    engine: '400',
    why: WHY.authority
  },
  'absolute form without authority': { facets: 'requests statuses answer ending', engine: '400', why: WHY.authority },
  '200 fields': { facets: 'requests fields statuses answer ending', engine: '431', why: WHY.bounds },
  'target of 9,000 bytes': { facets: 'requests statuses answer ending', engine: '414', why: WHY.bounds },
  'value of 20,000 bytes': { facets: 'requests fields statuses answer ending', engine: '200', why: WHY.bounds },
  'encoding gzip, chunked': { facets: 'requests statuses answer ending', engine: '400', why: WHY.coding },
  'CONNECT authority': { facets: 'statuses answer', engine: '405', why: WHY.connect },
  'CONNECT path': { facets: 'statuses answer', engine: '405', why: WHY.connect },
  '100-continue': { facets: 'fields statuses answer', engine: '200', why: WHY.continue },
  'two leading empty lines': { facets: 'requests statuses answer ending', engine: '400', why: WHY.emptyLines },
  'Expect with another value': { facets: 'requests fields statuses answer', engine: '200', why: WHY.expect },
  'chunk extension of 20,000 bytes': { facets: 'statuses', engine: '400', why: WHY.extension },
  'chunk extension without a name': {
    facets: 'requests body statuses answer ending',
    engine: '400',
    why: WHY.extensionName
  },
  'Host with a slash': { facets: 'requests statuses answer ending', engine: '400', why: WHY.host },
  'Host with a space': { facets: 'requests statuses answer ending', engine: '400', why: WHY.host },
  'Host with user information': { facets: 'requests statuses answer ending', engine: '400', why: WHY.host },
  'the same Host twice': { facets: 'requests statuses answer ending', engine: '400', why: WHY.hosts },
  'two Hosts': { facets: 'requests statuses answer ending', engine: '400', why: WHY.hosts },
  'leading bare LF': { facets: 'requests statuses answer ending', engine: '400', why: WHY.lenient },
  'two spaces before target': { facets: 'requests statuses answer ending', engine: '400', why: WHY.lenient },
  'two spaces before version': { facets: 'requests statuses answer ending', engine: '400', why: WHY.lenient },
  'lower case method': { facets: 'requests statuses answer ending', engine: '200', why: WHY.method },
  'unknown method': { facets: 'requests statuses answer ending', engine: '200', why: WHY.method },
  'Connection nominates Host': { facets: 'requests statuses answer ending', engine: '400', why: WHY.nominated },
  'encoding nominated': { facets: 'requests statuses answer ending', engine: '400', why: WHY.nominated },
  'length nominated': { facets: 'requests body statuses answer ending', engine: '400', why: WHY.nominated },
  'routing field nominated': { facets: 'requests statuses answer ending', engine: '400', why: WHY.nominated },
  'chunked in HTTP/1.0': { facets: 'requests statuses answer', engine: '400', why: WHY.oldChunked },
  'no version': { facets: 'requests statuses answer', engine: '400', why: WHY.oldVersion },
  'HEAD, then bad': { facets: 'statuses answer', engine: '200 400', why: WHY.pipelinedBad },
  'good, then bad': { facets: 'statuses answer', engine: '200 400', why: WHY.pipelinedBad },
  'absolute form with query only': { facets: 'requests statuses answer', engine: '200', why: WHY.queryOnly },
  'routing field twice': { facets: 'requests fields statuses answer ending', engine: '400', why: WHY.routing },
  'routing field, other case, twice': {
    facets: 'requests fields statuses answer ending',
    engine: '400',
    why: WHY.routing
  },
  'GET asterisk': { facets: 'statuses ending', engine: '400', why: WHY.target },
  'absolute form of another scheme': { facets: 'statuses ending', engine: '400', why: WHY.target },
  'trailer Host': { facets: 'requests body statuses answer ending', engine: '400', why: WHY.trailerField },
  'trailer with a routing field': {
    facets: 'requests body statuses answer ending',
    engine: '400',
    why: WHY.trailerField
  },
  'chunks byte by byte': { facets: 'body', engine: '200', why: WHY.trailers },
  trailer: { facets: 'body', engine: '200', why: WHY.trailers },
  'Upgrade twice': { facets: 'requests statuses answer ending', engine: '400', why: WHY.upgrade },
  'HTTP/0.9': { facets: 'requests statuses answer', engine: '505', why: WHY.version },
  'HTTP/1.2': { facets: 'statuses', engine: '505', why: WHY.version },
  'HTTP/2 preface': { facets: 'statuses answer ending', engine: '505', why: WHY.version },
  'HTTP/2.0': { facets: 'requests statuses answer', engine: '505', why: WHY.version },
  'chunk size with many zeros': { facets: 'requests body statuses answer ending', engine: '400', why: WHY.zeros }
}

/** Responses that the two proxies treat differently, by the name of the case. */
export const RESPONSE_DIFFERENCES: Readonly<Record<string, Difference>> = {
  'encoding gzip, chunked': { facets: 'statuses answer', engine: '502', why: WHY.coding },
  'encoding identity': { facets: 'statuses answer', engine: '502', why: WHY.coding },
  '100, then 200': { facets: 'statuses answer', engine: '100 200', why: WHY.interim },
  '103, then 200': { facets: 'statuses answer', engine: '103 200', why: WHY.interim },
  'high bytes in a value': { facets: 'answer', engine: '200', why: WHY.latin1 },
  'chunk overrun': { facets: 'answer', engine: '200', why: WHY.overrun },
  'until close, reset': { facets: 'answer ending', engine: '200', why: WHY.reset },
  'status 600': { facets: 'statuses answer', engine: '502', why: WHY.status },
  'chunked with trailer': { facets: 'answer', engine: '200', why: WHY.trailers },
  'HTTP/2': { facets: 'statuses answer', engine: '502', why: WHY.version }
}
