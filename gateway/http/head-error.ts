/**
 * Why a message head or body framing is refused. Parsers return these as negative numbers, because a result must be told
 * from an offset without allocating anything.
 */
export const HEAD_ERROR = {
  badMethod: -1,
  badTarget: -2,
  badVersion: -3,
  unsupportedVersion: -4,
  badFieldName: -5,
  badFieldValue: -6,
  badLineEnd: -7,
  foldedField: -8,
  repeatedLength: -9,
  badLength: -10,
  lengthWithEncoding: -11,
  badEncoding: -12,
  repeatedHost: -13,
  missingHost: -14,
  badHost: -15,
  repeatedRoutingField: -16,
  headTooLarge: -17,
  tooManyFields: -18,
  targetTooLong: -19,
  badStatusLine: -20,
  connectRefused: -21,
  encodingInOldVersion: -22,
  badChunkSize: -23,
  badChunkExtension: -24,
  badChunkEnd: -25,
  badTrailer: -26,
  trailersTooLarge: -27,
  badUpgrade: -28,
  badConnection: -29
} as const

/** What a client is told of a refused request. */
export interface HeadErrorText {
  readonly status: number
  readonly reason: string
}

const TEXTS: Record<(typeof HEAD_ERROR)[keyof typeof HEAD_ERROR], HeadErrorText> = {
  [HEAD_ERROR.badMethod]: { status: 400, reason: 'the method is not a token' },
  [HEAD_ERROR.badTarget]: { status: 400, reason: 'the request target is malformed' },
  [HEAD_ERROR.badVersion]: { status: 400, reason: 'the HTTP version is malformed' },
  [HEAD_ERROR.unsupportedVersion]: { status: 505, reason: 'only HTTP/1.1 and HTTP/1.0 are supported' },
  [HEAD_ERROR.badFieldName]: { status: 400, reason: 'a header field name is malformed or followed by white space' },
  [HEAD_ERROR.badFieldValue]: { status: 400, reason: 'a header field value holds a control character' },
  [HEAD_ERROR.badLineEnd]: { status: 400, reason: 'a line does not end with CR LF' },
  [HEAD_ERROR.foldedField]: { status: 400, reason: 'a header field is folded over several lines' },
  [HEAD_ERROR.repeatedLength]: { status: 400, reason: 'Content-Length is repeated' },
  [HEAD_ERROR.badLength]: { status: 400, reason: 'Content-Length is not a decimal number' },
  [HEAD_ERROR.lengthWithEncoding]: { status: 400, reason: 'both Content-Length and Transfer-Encoding are present' },
  [HEAD_ERROR.badEncoding]: { status: 400, reason: 'Transfer-Encoding is not exactly "chunked"' },
  [HEAD_ERROR.repeatedHost]: { status: 400, reason: 'Host is repeated' },
  [HEAD_ERROR.missingHost]: { status: 400, reason: 'Host is missing' },
  [HEAD_ERROR.badHost]: { status: 400, reason: 'Host is malformed' },
  [HEAD_ERROR.repeatedRoutingField]: { status: 400, reason: 'a header field that requests are routed by is repeated' },
  [HEAD_ERROR.headTooLarge]: { status: 431, reason: 'the header section is too large' },
  [HEAD_ERROR.tooManyFields]: { status: 431, reason: 'there are too many header fields' },
  [HEAD_ERROR.targetTooLong]: { status: 414, reason: 'the request target is too long' },
  [HEAD_ERROR.badStatusLine]: { status: 502, reason: 'the status line is malformed' },
  [HEAD_ERROR.connectRefused]: { status: 405, reason: 'CONNECT is not supported' },
  [HEAD_ERROR.encodingInOldVersion]: { status: 400, reason: 'Transfer-Encoding in an HTTP/1.0 message' },
  [HEAD_ERROR.badChunkSize]: { status: 400, reason: 'a chunk size is malformed' },
  [HEAD_ERROR.badChunkExtension]: { status: 400, reason: 'a chunk extension is malformed or too long' },
  [HEAD_ERROR.badChunkEnd]: { status: 400, reason: 'a chunk does not end with CR LF' },
  [HEAD_ERROR.badTrailer]: { status: 400, reason: 'a trailer field is malformed or not allowed in trailers' },
  [HEAD_ERROR.trailersTooLarge]: { status: 431, reason: 'the trailer section is too large' },
  [HEAD_ERROR.badUpgrade]: { status: 400, reason: 'the Upgrade field is malformed' },
  [HEAD_ERROR.badConnection]: {
    status: 400,
    reason: 'Connection names a header field that framing or routing rests on'
  }
}

/** Status and reason of a refused request; a refused response is always 502 with the same reason. */
export function headErrorText(code: number): HeadErrorText {
  const text = (TEXTS as Record<number, HeadErrorText>)[code]
  if (text === undefined) throw new RangeError(`no head error ${code}`)
  return text
}
