import t from 'tap'
import { renderTable } from '../../cli/table.ts'

t.test('columns are as wide as their widest cell, and lines end without blanks', async t => {
  t.equal(
    renderTable(
      ['id', 'state'],
      [
        ['pod-1', 'ready'],
        ['x', '']
      ]
    ),
    'id     state\npod-1  ready\nx\n'
  )
})
