import t from 'tap'
import { median, pairedRatios, quantile, spread } from '../../bench/statistics.ts'

t.test('the median of an even count is the mean of the two in the middle', async t => {
  t.equal(median([4, 1, 3, 2]), 2.5)
  t.equal(median([9, 1, 5]), 5)
  t.ok(Number.isNaN(median([])))
})

t.test('a quantile is the value at its rank', async t => {
  const twenty = Array.from({ length: 20 }, (_, index) => index + 1)
  t.equal(quantile(twenty, 0.95), 19)
  t.equal(quantile(twenty, 0.5), 10)
  t.equal(quantile([7], 0.99), 7)
})

t.test('a spread says where the values lie, whatever their order', async t => {
  t.same(spread([5, 1, 4, 2, 3]), { median: 3, lowerQuartile: 2, upperQuartile: 4, min: 1, max: 5 })
})

t.test('ratios are taken within a round, and rounds without a figure are left out', async t => {
  t.same(pairedRatios([10, 30, 5, 8], [5, 10, 0]), [2, 3])
})
