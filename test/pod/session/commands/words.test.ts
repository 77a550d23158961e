import t from 'tap'
import { splitWords } from '../../../../pod/session/commands/words.ts'

// What Python's shlex.split gives for each, which clients of agent-sandbox quote for.
const CASES: readonly (readonly [string, readonly string[]])[] = [
  ['echo hello', ['echo', 'hello']],
  ['  a \t b\r\nc  ', ['a', 'b', 'c']],
  ['', []],
  [' \n', []],
  [`''`, ['']],
  [`a '' ""`, ['a', '', '']],
  [`'a b' "c d"`, ['a b', 'c d']],
  [`a'b'"c"d`, ['abcd']],
  [`'it'\\''s'`, [`it's`]],
  [`'\\n "'`, ['\\n "']],
  [`"a \\" b"`, ['a " b']],
  [`"\\\\"`, ['\\']],
  [`"\\n \\$HOME \\\`"`, ['\\n \\$HOME \\`']],
  [`a\\ b`, ['a b']],
  [`\\'a`, [`'a`]],
  [`a\\\nb`, ['a\nb']],
  [`$HOME *.txt | cat > x; y && z # w`, ['$HOME', '*.txt', '|', 'cat', '>', 'x;', 'y', '&&', 'z', '#', 'w']],
  ['é\u00a0ü 日本', ['é\u00a0ü', '日本']],
  ['__proto__ constructor', ['__proto__', 'constructor']]
]

for (const [line, words] of CASES) {
  t.test(`splits ${JSON.stringify(line)}`, async t => {
    t.same(splitWords(line), words)
  })
}

for (const line of [`'`, `a "b`, `"\\"`, `a\\`, `'a\\'b'`]) {
  t.test(`refuses ${JSON.stringify(line)}`, async t => {
    t.throws(() => splitWords(line), { code: 'bad-request' })
  })
}
