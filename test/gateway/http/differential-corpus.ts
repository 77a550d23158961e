/** One odd or hostile request, as bytes. */
export interface RequestCase {
  readonly name: string
  /** Written part by part, each in a turn of the loop of its own. */
  readonly parts: readonly string[]
  /** Final responses to wait for. Default: 1. */
  readonly answers?: number
  /** Methods of the requests where one is HEAD. */
  readonly methods?: readonly string[]
}

/** One odd or hostile response, as bytes. */
export interface ResponseCase {
  readonly name: string
  readonly parts: readonly string[]
  /** Default: GET. */
  readonly method?: string
  /** What the upstream does when it has written. Default: open. */
  readonly then?: 'open' | 'fin' | 'reset'
}

const HOST = 'Host: a.test\r\n'

function get(name: string, fields: string, target = '/x'): RequestCase {
  return { name, parts: [`GET ${target} HTTP/1.1\r\n${HOST}${fields}\r\n`] }
}

function line(name: string, requestLine: string, fields = HOST): RequestCase {
  return { name, parts: [`${requestLine}\r\n${fields}\r\n`] }
}

function post(name: string, fields: string, body: string): RequestCase {
  return { name, parts: [`POST /x HTTP/1.1\r\n${HOST}${fields}\r\n${body}`] }
}

function chunked(name: string, body: string): RequestCase {
  return post(name, 'Transfer-Encoding: chunked\r\n', body)
}

/** What would be a second request if framing were misread. */
const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n'

function many(count: number, make: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => make(index)).join('')
}

const LINES: RequestCase[] = [
  line('plain GET', 'GET /x HTTP/1.1'),
  line('query and odd characters', "GET /a;b=c/%2e%2e/..//d?q=%00&r=[]{}|^`'*~ HTTP/1.1"),
  line('dot segments are not resolved', 'GET /a/../b/./c HTTP/1.1'),
  line('double quote in target', 'GET /a"b HTTP/1.1'),
  line('angle brackets in target', 'GET /<b> HTTP/1.1'),
  line('backslash in target', 'GET /a\\b HTTP/1.1'),
  line('fragment in target', 'GET /a#b HTTP/1.1'),
  line('tab in target', 'GET /a\tb HTTP/1.1'),
  line('space in target', 'GET /a b HTTP/1.1'),
  line('NUL in target', 'GET /a\0b HTTP/1.1'),
  line('DEL in target', 'GET /a\x7fb HTTP/1.1'),
  line('high byte in target', 'GET /a\xe9b HTTP/1.1'),
  line('target without slash', 'GET x HTTP/1.1'),
  line('empty target', 'GET  HTTP/1.1'),
  line('two spaces before target', 'GET  /x HTTP/1.1'),
  line('two spaces before version', 'GET /x  HTTP/1.1'),
  line('tab between method and target', 'GET\t/x HTTP/1.1'),
  line('leading space', ' GET /x HTTP/1.1'),
  line('trailing space', 'GET /x HTTP/1.1 '),
  line('leading empty line', '\r\nGET /x HTTP/1.1'),
  line('two leading empty lines', '\r\n\r\nGET /x HTTP/1.1'),
  line('leading bare LF', '\nGET /x HTTP/1.1'),
  line('no version', 'GET /x'),
  line('HTTP/0.9', 'GET /x HTTP/0.9'),
  line('HTTP/1.0 without Host', 'GET /x HTTP/1.0', ''),
  line('HTTP/1.0 with Host', 'GET /x HTTP/1.0'),
  line('HTTP/1.0 keep-alive', 'GET /x HTTP/1.0', `${HOST}Connection: keep-alive\r\n`),
  line('HTTP/1.2', 'GET /x HTTP/1.2'),
  line('HTTP/2.0', 'GET /x HTTP/2.0'),
  line('HTTP/1.10', 'GET /x HTTP/1.10'),
  line('HTTP/01.1', 'GET /x HTTP/01.1'),
  line('lower case version', 'GET /x http/1.1'),
  line('wrong protocol', 'GET /x HTTQ/1.1'),
  line('HTTP/2 preface', 'PRI * HTTP/2.0', ''),
  line('TLS ClientHello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', ''),
  line('lower case method', 'get /x HTTP/1.1'),
  line('unknown method', 'FOO /x HTTP/1.1'),
  line('method with a control', 'G\x01T /x HTTP/1.1'),
  line('method with a separator', 'GE(T /x HTTP/1.1'),
  line('long method', `${'A'.repeat(40)} /x HTTP/1.1`),
  line('TRACE', 'TRACE /x HTTP/1.1'),
  line('PROPFIND', 'PROPFIND /x HTTP/1.1'),
  line('QUERY', 'QUERY /x HTTP/1.1'),
  line('DELETE', 'DELETE /x HTTP/1.1'),
  line('OPTIONS asterisk', 'OPTIONS * HTTP/1.1'),
  line('GET asterisk', 'GET * HTTP/1.1'),
  line('CONNECT authority', 'CONNECT a.test:443 HTTP/1.1'),
  line('CONNECT path', 'CONNECT /x HTTP/1.1'),
  line('absolute form', 'GET http://b.test/x?y HTTP/1.1'),
  line('absolute form, other case', 'GET HTTP://b.test/x HTTP/1.1'),
  line('absolute form without path', 'GET http://b.test HTTP/1.1'),
  line('absolute form with query only', 'GET http://b.test?q HTTP/1.1'),
  line('absolute form without authority', 'GET http:///x HTTP/1.1'),
  line('absolute form with user information', 'GET http://u:p@b.test/x HTTP/1.1'),
  line('absolute form without Host', 'GET http://b.test/x HTTP/1.1', ''),
  line('absolute form of another scheme', 'GET ftp://b.test/x HTTP/1.1'),
  line('target of 8,000 bytes', `GET /${'a'.repeat(7_999)} HTTP/1.1`),
  line('target of 9,000 bytes', `GET /${'a'.repeat(8_999)} HTTP/1.1`),
  { ...line('HEAD', 'HEAD /x HTTP/1.1'), methods: ['HEAD'] }
]

const FIELDS: RequestCase[] = [
  line('no Host', 'GET /x HTTP/1.1', ''),
  line('two Hosts', 'GET /x HTTP/1.1', 'Host: a\r\nHost: b\r\n'),
  line('the same Host twice', 'GET /x HTTP/1.1', 'Host: a\r\nHost: a\r\n'),
  line('empty Host', 'GET /x HTTP/1.1', 'Host:\r\n'),
  line('Host with a slash', 'GET /x HTTP/1.1', 'Host: a/b\r\n'),
  line('Host with user information', 'GET /x HTTP/1.1', 'Host: u@a\r\n'),
  line('Host with a space', 'GET /x HTTP/1.1', 'Host: a b\r\n'),
  line('Host in IPv6', 'GET /x HTTP/1.1', 'Host: [::1]:80\r\n'),
  get('space before colon', 'X-A : 1\r\n'),
  get('tab before colon', 'X-A\t: 1\r\n'),
  get('space in name', 'X A: 1\r\n'),
  get('empty name', ': 1\r\n'),
  get('no colon', 'X-A\r\n'),
  get('name with a control', 'X\x01A: 1\r\n'),
  get('name with a high byte', 'X\xe9A: 1\r\n'),
  get('name with a parenthesis', 'X(A): 1\r\n'),
  get('name with an underscore', 'X_A: 1\r\n'),
  get('name with odd token characters', "!#$%&'*+-.^`|~: 1\r\n"),
  get('empty value', 'X-A:\r\n'),
  get('value without space', 'X-A:1\r\n'),
  get('value with white space around', 'X-A: \t 1 \t \r\n'),
  get('value with a tab inside', 'X-A: 1\t2\r\n'),
  get('value with high bytes', 'X-A: \xe9\xff\x80\r\n'),
  get('value with NUL', 'X-A: 1\x002\r\n'),
  get('value with DEL', 'X-A: 1\x7f2\r\n'),
  get('value with a control', 'X-A: 1\x012\r\n'),
  get('value with bare CR', 'X-A: 1\rX-B: 2\r\n'),
  get('value with bare LF', 'X-A: 1\nX-B: 2\r\n'),
  get('value ends with CR CR LF', 'X-A: 1\r\r\n'),
  get('folded with a space', 'X-A: 1\r\n 2\r\n'),
  get('folded with a tab', 'X-A: 1\r\n\t2\r\n'),
  line('first line folded', 'GET /x HTTP/1.1', ` X-A: 1\r\n${HOST}`),
  { name: 'bare LF everywhere', parts: ['GET /x HTTP/1.1\nHost: a\n\n'] },
  { name: 'head ends with bare LF', parts: ['GET /x HTTP/1.1\r\nHost: a\r\n\n'] },
  { name: 'head ends with CR CR LF', parts: ['GET /x HTTP/1.1\r\nHost: a\r\n\r\r\n'] },
  { name: 'request line ends with bare CR', parts: ['GET /x HTTP/1.1\rHost: a\r\n\r\n'] },
  get(
    '100 fields',
    many(100, index => `X-${index}: 1\r\n`)
  ),
  get(
    '200 fields',
    many(200, index => `X-${index}: 1\r\n`)
  ),
  get('value of 12,000 bytes', `X-A: ${'a'.repeat(12_000)}\r\n`),
  get('value of 20,000 bytes', `X-A: ${'a'.repeat(20_000)}\r\n`),
  get('value of 40,000 bytes', `X-A: ${'a'.repeat(40_000)}\r\n`),
  get('a field three times', 'X-A: 1\r\nX-B: 2\r\nX-A: 3\r\nx-a: 4\r\n'),
  get('two Cookies', 'Cookie: a=1\r\nCookie: b=2\r\n'),
  get('two Authorizations', 'Authorization: a\r\nAuthorization: b\r\n'),
  get('routing field once', 'X-Sandbox-ID: a\r\n'),
  get('routing field twice', 'X-Sandbox-ID: a\r\nX-Sandbox-ID: b\r\n'),
  get('routing field, other case, twice', 'X-Sandbox-ID: a\r\nx-sandbox-id: a\r\n'),
  get('routing field nominated', 'X-Sandbox-ID: a\r\nConnection: x-sandbox-id\r\n'),
  get('field that only the proxy may set', 'X-Fairlead-Session: forged\r\n'),
  get('that field with an underscore', 'X_Fairlead_Session: forged\r\n'),
  get('forged X-Forwarded-For', 'X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n'),
  get('Connection nominates a field', 'X-A: 1\r\nConnection: x-a\r\nX-B: 2\r\n'),
  get('Connection nominates in a list', 'Connection: close, X-A ,\tX-B\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n'),
  get('two Connection fields', 'Connection: x-a\r\nConnection: x-b\r\nX-A: 1\r\nX-B: 2\r\n'),
  get('Connection nominates Host', 'Connection: host\r\n'),
  get('Connection close in capitals', 'Connection: CLOSE\r\n'),
  get('Connection empty', 'Connection:\r\n'),
  get(
    'hop-by-hop fields',
    'Keep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nTrailer: x\r\n'
  ),
  get('Upgrade to h2c', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'),
  get('Upgrade without Connection', 'Upgrade: websocket\r\n'),
  get('Upgrade twice', 'Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n'),
  get('Expect with another value', 'Expect: something\r\n')
]

const BODIES: RequestCase[] = [
  post('counted body', 'Content-Length: 5\r\n', 'hello'),
  post('empty counted body', 'Content-Length: 0\r\n', ''),
  post('no body and no length', '', ''),
  get('GET with a body', 'Content-Length: 5\r\n\r\nhello'),
  post('length with leading zeros', 'Content-Length: 005\r\n', 'hello'),
  post('length with plus', 'Content-Length: +5\r\n', 'hello'),
  post('length with minus', 'Content-Length: -5\r\n', 'hello'),
  post('length in hexadecimal', 'Content-Length: 0x5\r\n', 'hello'),
  post('length with a fraction', 'Content-Length: 5.0\r\n', 'hello'),
  post('length with a space inside', 'Content-Length: 5 5\r\n', 'hello'),
  post('length with white space around', 'Content-Length: \t5 \r\n', 'hello'),
  post('length as a list', 'Content-Length: 5, 5\r\n', 'hello'),
  post('length empty', 'Content-Length:\r\n', 'hello'),
  post('length not a number', 'Content-Length: five\r\n', 'hello'),
  post('length beyond 2^53', 'Content-Length: 99999999999999999999\r\n', 'hello'),
  post('length beyond 2^64', 'Content-Length: 18446744073709551621\r\n', 'hello'),
  post('length twice, equal', 'Content-Length: 5\r\nContent-Length: 5\r\n', 'hello'),
  post('length twice, different', 'Content-Length: 5\r\nContent-Length: 6\r\n', 'hello'),
  post('length folded', 'Content-Length:\r\n 5\r\n', 'hello'),
  post('length nominated', 'Content-Length: 5\r\nConnection: content-length\r\n', 'hello'),
  post('length, space before colon', 'Content-Length : 5\r\n', 'hello'),
  post('length and chunked', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${SMUGGLED}`),
  post('chunked and length', 'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', `0\r\n\r\n${SMUGGLED}`),
  post('encoding nominated', 'Transfer-Encoding: chunked\r\nConnection: transfer-encoding\r\n', '0\r\n\r\n'),
  post('encoding in capitals', 'Transfer-Encoding: CHUNKED\r\n', '0\r\n\r\n'),
  post('encoding twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  post('encoding identity', 'Transfer-Encoding: identity\r\n', ''),
  post('encoding gzip, chunked', 'Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'),
  post('encoding chunked, gzip', 'Transfer-Encoding: chunked, gzip\r\n', '0\r\n\r\n'),
  post('encoding gzip', 'Transfer-Encoding: gzip\r\n', '0\r\n\r\n'),
  post('encoding xchunked', 'Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'),
  post('encoding in quotes', 'Transfer-Encoding: "chunked"\r\n', '0\r\n\r\n'),
  post('encoding with a parameter', 'Transfer-Encoding: chunked;q=1\r\n', '0\r\n\r\n'),
  post('encoding with a vertical tab', 'Transfer-Encoding: \x0bchunked\r\n', '0\r\n\r\n'),
  post('encoding folded', 'Transfer-Encoding:\r\n chunked\r\n', '0\r\n\r\n'),
  post('encoding empty', 'Transfer-Encoding:\r\n', ''),
  post('encoding, space before colon', 'Transfer-Encoding : chunked\r\n', '0\r\n\r\n'),
  post('encoding with an underscore', 'Transfer_Encoding: chunked\r\n', SMUGGLED),
  line('chunked in HTTP/1.0', 'POST /x HTTP/1.0', 'Transfer-Encoding: chunked\r\n\r\n0\r\n'),
  line('counted body in HTTP/1.0', 'POST /x HTTP/1.0', 'Content-Length: 2\r\n\r\n'),
  { name: 'body of 1 byte after pauses', parts: [`POST /x HTTP/1.1\r\n${HOST}Content-Length: 1\r\n`, '\r\n', 'a'] },
  post('100-continue', 'Expect: 100-continue\r\nContent-Length: 5\r\n', 'hello')
]

const CHUNKS: RequestCase[] = [
  chunked('chunks', '5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n'),
  chunked('chunk size in capitals', 'A\r\n0123456789\r\n0\r\n\r\n'),
  chunked('chunk size with leading zeros', '0005\r\nhello\r\n000\r\n\r\n'),
  chunked('chunk size with many zeros', `${'0'.repeat(30)}5\r\nhello\r\n0\r\n\r\n`),
  chunked('chunk size with 0x', '0x5\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk size with plus', '+5\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk size with minus', '-5\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk size empty', '\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk size not hexadecimal', 'g\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk size with a space before', ' 5\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk size with a space after', '5 \r\nhello\r\n0\r\n\r\n'),
  chunked('chunk size with a tab after', '5\t\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk size beyond 2^64', '10000000000000005\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk size with an underscore', '0_5\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk line with bare LF', '5\nhello\r\n0\r\n\r\n'),
  chunked('chunk line with bare CR', '5\rhello\r\n0\r\n\r\n'),
  chunked('chunk without CR LF', '5\r\nhello0\r\n\r\n'),
  chunked('chunk ends with bare LF', '5\r\nhello\n0\r\n\r\n'),
  chunked('chunk too long', '5\r\nhello!\r\n0\r\n\r\n'),
  chunked('chunk too short', '6\r\nhello\r\n0\r\n\r\n'),
  chunked('last chunk ends with bare LF', '0\r\n\n'),
  chunked('chunk extension', '5;a=b\r\nhello\r\n0;c\r\n\r\n'),
  chunked('chunk extension in quotes', '5;a="b;\\"c"\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk extension with LF', '5;a=\nb\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk extension with bare CR', '5;a\rb\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk extension with NUL', '5;a=\0\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk extension with spaces', '5 ; a = b\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk extension empty', '5;\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk extension without a name', '5;=b\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk extension, quote not closed', '5;a="b\r\nhello\r\n0\r\n\r\n'),
  chunked('chunk extension of 20,000 bytes', `5;${'a'.repeat(20_000)}\r\nhello\r\n0\r\n\r\n`),
  chunked('trailer', '5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n'),
  chunked('trailer Content-Length', '5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n'),
  chunked('trailer Host', '5\r\nhello\r\n0\r\nHost: b\r\n\r\n'),
  chunked('trailer with a routing field', '5\r\nhello\r\n0\r\nX-Sandbox-ID: b\r\n\r\n'),
  chunked('trailer malformed', '5\r\nhello\r\n0\r\nbad trailer\r\n\r\n'),
  chunked('trailer folded', '5\r\nhello\r\n0\r\nX-T: 1\r\n 2\r\n\r\n'),
  chunked('trailers of 20,000 bytes', `5\r\nhello\r\n0\r\nX-T: ${'a'.repeat(20_000)}\r\n\r\n`)
]

const SEQUENCES: RequestCase[] = [
  { name: 'two pipelined', parts: [`GET /1 HTTP/1.1\r\n${HOST}\r\nGET /2 HTTP/1.1\r\n${HOST}\r\n`], answers: 2 },
  {
    name: 'pipelined with bodies',
    parts: [
      `POST /1 HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhelloPOST /2 HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET /3 HTTP/1.1\r\n${HOST}\r\n`
    ],
    answers: 3
  },
  { name: 'good, then bad', parts: [`GET /1 HTTP/1.1\r\n${HOST}\r\nBAD\0 /2 HTTP/1.1\r\n\r\n`], answers: 2 },
  {
    name: 'HEAD, then bad',
    parts: [`HEAD /1 HTTP/1.1\r\n${HOST}\r\n`, `BAD\0 /2 HTTP/1.1\r\n\r\n`],
    answers: 2,
    methods: ['HEAD', 'GET']
  },
  {
    name: 'close, then more',
    parts: [`GET /1 HTTP/1.1\r\n${HOST}Connection: close\r\n\r\nGET /2 HTTP/1.1\r\n${HOST}\r\n`]
  },
  {
    name: 'empty line between',
    parts: [`GET /1 HTTP/1.1\r\n${HOST}\r\n\r\nGET /2 HTTP/1.1\r\n${HOST}\r\n`],
    answers: 2
  },
  {
    name: 'empty line in two reads',
    parts: ['\r', `\nGET /1 HTTP/1.1\r\n${HOST}\r\n`]
  },
  { name: 'byte by byte', parts: `POST /x HTTP/1.1\r\n${HOST}Content-Length: 3\r\n\r\nabc`.split('') },
  {
    name: 'chunks byte by byte',
    parts: `POST /x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\nX-T: 1\r\n\r\n`.split('')
  },
  { name: 'ten pipelined', parts: [many(10, index => `GET /${index} HTTP/1.1\r\n${HOST}\r\n`)], answers: 10 }
]

/** Requests that both proxies get, byte for byte. */
export const REQUESTS: readonly RequestCase[] = [...LINES, ...FIELDS, ...BODIES, ...CHUNKS, ...SEQUENCES]

function ok(name: string, fields: string, body: string, rest: Partial<ResponseCase> = {}): ResponseCase {
  return { name, parts: [`HTTP/1.1 200 OK\r\n${fields}\r\n${body}`], ...rest }
}

function status(name: string, statusLine: string, rest: Partial<ResponseCase> = {}): ResponseCase {
  return { name, parts: [`${statusLine}\r\nContent-Length: 2\r\n\r\nok`], ...rest }
}

/** Responses that both proxies get from their upstream, byte for byte. */
export const RESPONSES: readonly ResponseCase[] = [
  ok('counted', 'Content-Length: 2\r\n', 'ok'),
  ok('chunked', 'Transfer-Encoding: chunked\r\n', '2\r\nok\r\n0\r\n\r\n'),
  ok('chunked with trailer', 'Transfer-Encoding: chunked\r\n', '2\r\nok\r\n0\r\nX-T: 1\r\n\r\n'),
  ok('chunked with extensions', 'Transfer-Encoding: chunked\r\n', '2;a=b\r\nok\r\n0\r\n\r\n'),
  ok('until close', '', 'ok', { then: 'fin' }),
  ok('until close, reset', '', 'ok', { then: 'reset' }),
  ok('empty until close', '', '', { then: 'fin' }),
  ok('counted, cut', 'Content-Length: 5\r\n', 'ok', { then: 'fin' }),
  ok('counted, reset', 'Content-Length: 5\r\n', 'ok', { then: 'reset' }),
  ok('chunked, cut in a chunk', 'Transfer-Encoding: chunked\r\n', '5\r\nok', { then: 'fin' }),
  ok('chunked, cut between chunks', 'Transfer-Encoding: chunked\r\n', '2\r\nok\r\n', { then: 'fin' }),
  ok('chunked, cut before the last line', 'Transfer-Encoding: chunked\r\n', '2\r\nok\r\n0\r\n', { then: 'fin' }),
  ok('more than its length', 'Content-Length: 2\r\n', 'ok and more'),
  ok(
    'a second response nobody asked for',
    'Content-Length: 2\r\n',
    'okHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged'
  ),
  ok('length and chunked', 'Content-Length: 2\r\nTransfer-Encoding: chunked\r\n', '2\r\nok\r\n0\r\n\r\n'),
  ok('two lengths, different', 'Content-Length: 2\r\nContent-Length: 3\r\n', 'ok'),
  ok('two lengths, equal', 'Content-Length: 2\r\nContent-Length: 2\r\n', 'ok'),
  ok('length not a number', 'Content-Length: x\r\n', 'ok'),
  ok('length negative', 'Content-Length: -1\r\n', 'ok'),
  ok('encoding gzip, chunked', 'Transfer-Encoding: gzip, chunked\r\n', '2\r\nok\r\n0\r\n\r\n'),
  ok('encoding identity', 'Transfer-Encoding: identity\r\n', 'ok', { then: 'fin' }),
  ok('bad chunk size', 'Transfer-Encoding: chunked\r\n', 'zz\r\nok\r\n0\r\n\r\n'),
  ok('chunk overrun', 'Transfer-Encoding: chunked\r\n', '2\r\nokay\r\n0\r\n\r\n'),
  ok('folded field', 'X-A: 1\r\n 2\r\nContent-Length: 2\r\n', 'ok'),
  ok('space before colon', 'X-A : 1\r\nContent-Length: 2\r\n', 'ok'),
  ok('NUL in a value', 'X-A: 1\x002\r\nContent-Length: 2\r\n', 'ok'),
  ok('bare CR in a value', 'X-A: 1\rX-B: 2\r\nContent-Length: 2\r\n', 'ok'),
  ok('high bytes in a value', 'X-A: \xe9\xff\r\nContent-Length: 2\r\n', 'ok'),
  { name: 'bare LF', parts: ['HTTP/1.1 200 OK\nContent-Length: 2\n\nok'] },
  ok('two cookies', 'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n', 'ok'),
  ok('Connection nominates', 'Connection: x-a\r\nX-A: 1\r\nContent-Length: 2\r\n', 'ok'),
  ok('hop-by-hop fields', 'Keep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nContent-Length: 2\r\n', 'ok'),
  ok('Connection close', 'Connection: close\r\nContent-Length: 2\r\n', 'ok', { then: 'fin' }),
  ok('HEAD with a length', 'Content-Length: 5\r\n', '', { method: 'HEAD' }),
  ok('HEAD chunked', 'Transfer-Encoding: chunked\r\n', '', { method: 'HEAD' }),
  ok('HEAD with a body', 'Content-Length: 2\r\n', 'ok', { method: 'HEAD' }),
  status('status without a reason', 'HTTP/1.1 200 '),
  status('status without a space', 'HTTP/1.1 200'),
  status('reason with high bytes', 'HTTP/1.1 200 d\xe9j\xe0'),
  status('status 299', 'HTTP/1.1 299 Odd'),
  status('status 599', 'HTTP/1.1 599 Odd'),
  status('status 600', 'HTTP/1.1 600 Odd'),
  status('status 99', 'HTTP/1.1 99 Odd'),
  status('status of four digits', 'HTTP/1.1 2000 Odd'),
  status('status not a number', 'HTTP/1.1 abc Odd'),
  status('HTTP/1.0', 'HTTP/1.0 200 OK', { then: 'fin' }),
  status('HTTP/2', 'HTTP/2.0 200 OK'),
  status('lower case version', 'http/1.1 200 OK'),
  { name: 'no HTTP at all', parts: ['hello, this is not HTTP\r\n\r\n'] },
  { name: 'nothing, closed', parts: [], then: 'fin' },
  { name: 'nothing, reset', parts: [], then: 'reset' },
  { name: 'half a head, closed', parts: ['HTTP/1.1 200 OK\r\nContent-Le'], then: 'fin' },
  { name: '204', parts: ['HTTP/1.1 204 No Content\r\n\r\n'] },
  { name: '204 with a length', parts: ['HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok'] },
  { name: '304 with a length', parts: ['HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "a"\r\n\r\n'] },
  { name: '205 with a length', parts: ['HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n'] },
  { name: '100, then 200', parts: ['HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'] },
  {
    name: '103, then 200',
    parts: ['HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok']
  },
  { name: '101 nobody asked for', parts: ['HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'] },
  ok('field of 40,000 bytes', `X-A: ${'a'.repeat(40_000)}\r\nContent-Length: 2\r\n`, 'ok'),
  { name: 'byte by byte', parts: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'.split('') }
]
