import t from 'tap'

import { FrameBoundary, GOING_AWAY_FRAME } from '../../../gateway/http/websocket-frames.ts'

/** A frame: opcode byte, payload length, masked or not, and the length form that a sender may choose. */
function frame(first: number, length: number, options: { masked?: boolean; form?: 1 | 3 | 9 } = {}): Buffer {
  const form = options.form ?? (length < 126 ? 1 : length < 65_536 ? 3 : 9)
  const header = Buffer.alloc(1 + form)
  header[0] = first
  const mask = options.masked === true ? 0x80 : 0
  if (form === 1) header[1] = mask | length
  else if (form === 3) {
    header[1] = mask | 126
    header.writeUInt16BE(length, 2)
  } else {
    header[1] = mask | 127
    header.writeBigUInt64BE(BigInt(length), 2)
  }
  return Buffer.concat([header, Buffer.alloc(mask === 0 ? 0 : 4, 0xff), Buffer.alloc(length, 0x81)])
}

const FRAMES = [
  frame(0x81, 0),
  frame(0x81, 1),
  frame(0x01, 125),
  frame(0x89, 0),
  frame(0x00, 126),
  frame(0x80, 300, { form: 9 }),
  frame(0x82, 0, { masked: true }),
  frame(0x82, 5, { masked: true }),
  frame(0x82, 5, { form: 3 }),
  frame(0x82, 70_000, { masked: true })
]

t.test('a boundary is found after each frame, and nowhere else', async t => {
  for (const bytes of FRAMES) {
    const boundary = new FrameBoundary()
    t.ok(boundary.reached, 'before the first byte')
    for (let p = 0; p < bytes.length - 1; p++) {
      if (boundary.advance(bytes, p, p + 1) !== (p === 0 ? 0 : -1) || boundary.reached)
        t.fail(`at ${p} of ${bytes.length}`)
    }
    t.equal(boundary.advance(bytes, bytes.length - 1, bytes.length), bytes.length)
    t.ok(boundary.reached)
  }
})

t.test('in a stream of frames, split anywhere, the first boundary of each read is told', async t => {
  const small = FRAMES.filter(bytes => bytes.length < 1000)
  const stream = Buffer.concat(small)
  const ends = [0]
  for (const bytes of small) ends.push(ends.at(-1)! + bytes.length)
  for (let at = 0; at < stream.length; at++) {
    const boundary = new FrameBoundary()
    boundary.advance(stream, 0, at)
    t.equal(boundary.reached, ends.includes(at), `${at} is a boundary or not`)
    t.equal(
      boundary.advance(stream, at, stream.length),
      ends.find(end => end >= at)
    )
  }
})

t.test('the close frame is whole, unmasked and says 1001', async t => {
  t.equal(new FrameBoundary().advance(GOING_AWAY_FRAME, 0, 4), 0)
  t.same([...GOING_AWAY_FRAME], [0x88, 2, 1001 >> 8, 1001 & 255])
})
