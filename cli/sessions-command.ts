import { InvalidArgumentError, Option } from 'commander'
import type { Command } from 'commander'
import { isDnsLabel } from '../lib/ids.ts'
import { callApi } from './api-client.ts'
import { addAdminUrl, addGatewayUrl } from './client-options.ts'
import { cell, isFields, listUnder } from './fields.ts'
import type { Fields } from './fields.ts'
import { printJson, renderTable } from './table.ts'

const COLUMNS = ['id', 'agent', 'state', 'owner', 'epoch', 'created']
const PAGE_SIZE = 500

/** Adds `fairlead sessions` with `list` (the default), `show`, `create` and `delete`. */
export function addSessionsCommand(program: Command): void {
  const command = program
    .command('sessions')
    .summary('list, show, create and delete sessions')
    .description('Lists, shows, creates and deletes sessions through a gateway.')
  addList(command)
  addShow(command)
  addCreate(command)
  addDelete(command)
}

function addList(parent: Command): void {
  const command = parent.command('list', { isDefault: true }).description('list all sessions (the default)')
  command.option('--json', 'print JSON, one session a line')
  addAdminUrl(command)
  command.action(async (flags: { json?: boolean; adminUrl: string }) => {
    if (!flags.json) return printSessions(await Array.fromAsync(allSessions(flags.adminUrl)))
    for await (const session of allSessions(flags.adminUrl)) printJson(session)
  })
}

async function* allSessions(base: string): AsyncGenerator<Fields> {
  let cursor: string | null = ''
  while (cursor !== null) {
    const query = new URLSearchParams({ limit: String(PAGE_SIZE), ...(cursor !== '' && { cursor }) })
    const { body } = await callApi(`/sessions?${query.toString()}`, { base, flag: '--admin-url' })
    yield* listUnder(body, 'sessions')
    cursor = isFields(body) && typeof body['cursor'] === 'string' && body['cursor'] !== '' ? body['cursor'] : null
  }
}

function printSessions(sessions: readonly Fields[]): void {
  const rows = sessions.map(session =>
    COLUMNS.map(column => (column === 'created' ? createdAt(session) : cell(session, column)))
  )
  process.stdout.write(rows.length === 0 ? 'no sessions\n' : renderTable(COLUMNS, rows))
}

function createdAt(session: Fields): string {
  const { createdAt: unixMs } = session
  return typeof unixMs === 'number' ? new Date(unixMs).toISOString() : '-'
}

function addShow(parent: Command): void {
  const command = parent.command('show').description('say who owns a session, since which epoch, and for how long')
  command.argument('<id>', 'session', sessionId).option('--json', 'print JSON')
  addGatewayUrl(command)
  command.action(async (id: string, flags: { json?: boolean; url: string }) => {
    const { body } = await callApi(`/instances/${id}`, { base: flags.url, flag: '--url' })
    if (flags.json || !isFields(body)) return printJson(body)
    process.stdout.write(describe(body, ''))
  })
}

// Nested objects (the owner) become `owner.id` and so on, one fact a line.
function describe(fields: Fields, prefix: string): string {
  return Object.entries(fields)
    .map(([key, value]) =>
      isFields(value) ? describe(value, `${prefix}${key}.`) : `${`${prefix}${key}`.padEnd(20)} ${cell(fields, key)}\n`
    )
    .join('')
}

function addCreate(parent: Command): void {
  const command = parent.command('create').description('create a session and print its id')
  command.option('--agent <id>', 'agent definition', 'shell')
  command.addOption(new Option('--id <id>', 'id of the session; without it the gateway makes one').argParser(sessionId))
  command.option('--json', 'print JSON')
  addGatewayUrl(command)
  command.action(async (flags: { json?: boolean; url: string; agent: string; id?: string }) => {
    const path = `/agents/${encodeURIComponent(flags.agent)}/instances`
    const request = flags.id === undefined ? {} : { instanceId: flags.id }
    const { body } = await callApi(path, { base: flags.url, flag: '--url', method: 'POST', body: request })
    if (flags.json || !isFields(body)) return printJson(body)
    process.stdout.write(`${cell(body, 'instanceId')}\n`)
  })
}

function addDelete(parent: Command): void {
  const command = parent.command('delete').description('delete a session, its files and its backups')
  command.argument('<id>', 'session', sessionId).option('--json', 'print JSON')
  addGatewayUrl(command)
  command.action(async (id: string, flags: { json?: boolean; url: string }) => {
    await callApi(`/instances/${id}`, { base: flags.url, flag: '--url', method: 'DELETE' })
    if (flags.json) printJson({ deleted: id })
  })
}

function sessionId(text: string): string {
  if (isDnsLabel(text)) return text
  throw new InvalidArgumentError('A session id is a DNS label: a-z, 0-9 and inner hyphens, at most 63 characters.')
}
