import { InvalidArgumentError, Option } from 'commander'
import type { Command } from 'commander'

/** Adds `--admin-url`: where a gateway's admin listener is. */
export function addAdminUrl(command: Command): void {
  command.addOption(
    new Option('--admin-url <url>', 'admin listener of a gateway')
      .default('http://127.0.0.1:9090')
      .env('FAIRLEAD_ADMIN_URL')
      .argParser(httpUrl)
  )
}

/** Adds `--url`: where a gateway takes clients. */
export function addGatewayUrl(command: Command): void {
  command.addOption(
    new Option('--url <url>', 'address of a gateway')
      .default('http://127.0.0.1:8080')
      .env('FAIRLEAD_URL')
      .argParser(httpUrl)
  )
}

function httpUrl(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw new InvalidArgumentError('Expected an http:// or https:// URL.')
  return text
}
