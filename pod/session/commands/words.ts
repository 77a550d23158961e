import { PodError } from '../../errors.ts'

const BLANKS = new Set([' ', '\t', '\r', '\n'])

/**
 * Splits a command line into words as a POSIX shell does, and does nothing else that a shell does: no variables, globs,
 * pipes or comments. Single quotes keep everything; in double quotes a backslash stands before `"` or `\` only and is kept
 * before anything else; outside quotes a backslash takes the next character as it is; `''` is an empty word.
 * Where shells and Python's `shlex.split` differ this follows the latter, because clients of agent-sandbox quote for it.
 * An open quote or a trailing backslash is a `bad-request` PodError.
 */
export function splitWords(line: string): string[] {
  const words: string[] = []
  let word: string | null = null
  for (let i = 0; i < line.length;) {
    const character = line[i]!
    if (BLANKS.has(character)) {
      if (word !== null) words.push(word)
      word = null
      i += 1
      continue
    }
    const piece = PIECES.get(character)?.(line, i) ?? { text: character, next: i + 1 }
    word = (word ?? '') + piece.text
    i = piece.next
  }
  if (word !== null) words.push(word)
  return words
}

interface Piece {
  text: string
  next: number
}

const PIECES: ReadonlyMap<string, (line: string, start: number) => Piece> = new Map([
  ["'", singleQuoted],
  ['"', doubleQuoted],
  ['\\', escaped]
])

function singleQuoted(line: string, start: number): Piece {
  const end = line.indexOf("'", start + 1)
  if (end === -1) throw noClosing("'", start)
  return { text: line.slice(start + 1, end), next: end + 1 }
}

function doubleQuoted(line: string, start: number): Piece {
  let text = ''
  for (let i = start + 1; i < line.length; i += 1) {
    const character = line[i]!
    if (character === '"') return { text, next: i + 1 }
    const after = line[i + 1]
    const escapes = character === '\\' && (after === '"' || after === '\\')
    text += escapes ? line[(i += 1)] : character
  }
  throw noClosing('"', start)
}

function escaped(line: string, start: number): Piece {
  const after = line[start + 1]
  if (after === undefined) throw new PodError('bad-request', 'the command ends with a backslash')
  return { text: after, next: start + 2 }
}

function noClosing(quote: string, start: number): PodError {
  return new PodError('bad-request', `no closing ${quote} for the quote at character ${start + 1}`)
}
