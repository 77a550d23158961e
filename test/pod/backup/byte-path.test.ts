import t from 'tap'
import { fromWirePath, isPlainPath, parentOf, pathBytes, pathOf, toWirePath } from '../../../pod/backup/byte-path.ts'

t.test('any bytes go through JSON and come back', async t => {
  for (let byte = 0; byte < 256; byte++) {
    const path = pathOf(Buffer.from([0x61, byte, 0x62]))
    t.equal(fromWirePath(JSON.parse(JSON.stringify(toWirePath(path)))), path)
    t.strictSame([...pathBytes(path)], [0x61, byte, 0x62])
  }
  t.equal(toWirePath(pathOf(Buffer.from('ä/\u{1f600}'))), 'ä/\u{1f600}', 'UTF-8 stays readable')
  t.strictSame(toWirePath('\xff'), { base64: '/w==' })
})

t.test('parents and plain paths', async t => {
  t.strictSame(['a', 'a/b', 'a/b/c'].map(parentOf), ['', 'a', 'a/b'])
  for (const path of ['a', '...', 'a/..b', '-', '__proto__']) t.ok(isPlainPath(path), path)
  for (const path of ['', '/', '/a', 'a/', 'a//b', '.', '..', 'a/../b', './a', 'a\0']) t.notOk(isPlainPath(path), path)
})
