import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { FairleadError, errorText } from '../../lib/errors.ts'

const LOOPBACK = '127.0.0.1'

/**
 * The loopback port to use: the given one, or a free one for 0. Code `port-taken` when somebody else listens there already; says which flag chooses another.
 * Nothing is reserved: whoever is quicker gets it.
 */
export async function claimPort(port: number, flag: string): Promise<number> {
  try {
    return await listenBriefly(port)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
      const message = `port ${port} is taken by another program; choose another with ${flag} <port> (0 takes a free one)`
      throw new FairleadError('port-taken', message, { cause: error })
    }
    const message = `cannot listen on port ${port} (${errorText(error)}); choose another with ${flag} <port>`
    throw new FairleadError('port-refused', message, { cause: error })
  }
}

async function listenBriefly(port: number): Promise<number> {
  const server = createServer()
  server.listen(port, LOOPBACK)
  await once(server, 'listening')
  const address = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return address.port
}
