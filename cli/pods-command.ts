import type { Command } from 'commander'
import { callApi } from './api-client.ts'
import { addAdminUrl } from './client-options.ts'
import { cell, isFields, listUnder } from './fields.ts'
import type { Fields } from './fields.ts'
import { printJson, renderTable } from './table.ts'

const COLUMNS = ['id', 'state', 'address', 'sessions', 'capacity', 'pid', 'agents']

/** Adds `fairlead pods`: the pods that a gateway knows. */
export function addPodsCommand(program: Command): void {
  const command = program
    .command('pods')
    .summary('list the pods that a gateway knows')
    .description('Lists the live pods: state, address, sessions that they own.')
    .option('--json', 'print JSON')
  addAdminUrl(command)
  command.action(async (flags: { json?: boolean; adminUrl: string }) => {
    const { body } = await callApi('/members', { base: flags.adminUrl, flag: '--admin-url' })
    const members = listUnder(body, 'members')
    if (flags.json) return printJson(members)
    process.stdout.write(members.length === 0 ? 'no pods\n' : renderTable(COLUMNS, members.map(rowOf)))
  })
}

function rowOf(member: Fields): string[] {
  return COLUMNS.map(column => (column === 'sessions' ? sessionsOf(member) : cell(member, column)))
}

// The gateway's own exact count where it gives one, else what the pod says of itself.
function sessionsOf(member: Fields): string {
  const { sessions } = member
  if (Array.isArray(sessions)) return String(sessions.length)
  return typeof sessions === 'number' || isFields(sessions) ? cell(member, 'sessions') : cell(member, 'load')
}
