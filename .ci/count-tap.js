// Prints "PASSED FAILED" for a TAP report: its assertions, without the lines that only sum up a subtest.

import { readFileSync } from 'node:fs'

let passed = 0
let failed = 0
let failedSums = 0
let lastDepth = 0

for (const line of readFileSync(process.argv[2], 'utf8').split('\n')) {
  const match = /^( *)(not ok|ok|1\.\.)/.exec(line)
  if (match === null) continue
  const depth = match[1].length
  // The line that ends a subtest stands less deep than what is in it; the one of a buffered subtest opens a brace.
  const isSum = depth < lastDepth || /\{\s*$/.test(line)
  lastDepth = depth
  if (match[2] === '1..' || /# (skip|todo)\b/i.test(line)) continue
  if (isSum) failedSums += match[2] === 'ok' ? 0 : 1
  else if (match[2] === 'ok') passed += 1
  else failed += 1
}

// A subtest can fail without a failed assertion: a timeout, a crash.
process.stdout.write(`${passed} ${failed === 0 && failedSums > 0 ? 1 : failed}\n`)
