import type { DevAddresses } from './dev-cluster.ts'

/** What `fairlead dev` prints when it is ready: where everything is, and commands that work when pasted into a shell. */
export function welcome(addresses: DevAddresses): string {
  const { pods, data, dataKept, redisUrl, adminUrl, url } = addresses
  const [create, run, kill] = tryCommands(url)
  return `fairlead dev ready on ${url}

  pods    ${pods.map(pod => `${pod.name} (pid ${pod.pid})`).join(', ')}
  admin   ${adminUrl}/metrics   registry ${redisUrl}
  data    ${data}${dataKept ? '' : ' (removed at the end; --data <directory> keeps it)'}

Try it, in another terminal:

  # 1. create a session
  ${create}

  # 2. run a command in it
  ${run}

  # 3. kill the pod that owns it, and go on where you were
  ${kill}

Ctrl-C ends it.
`
}

/** Three commands for a POSIX shell with curl: create a session, run a command in it, kill its owner and run another. */
export function tryCommands(url: string): [string, string, string] {
  const execute = (command: string) =>
    `curl -s ${url}/execute -H 'X-Sandbox-ID: hello' -d '${JSON.stringify({ command })}'`
  const ownerPid = `curl -s ${url}/instances/hello | sed 's/.*"pid":\\([0-9]*\\).*/\\1/'`
  return [
    `curl -s -X POST ${url}/agents/shell/instances -d '{"instanceId":"hello"}'`,
    execute('sh -c "date | tee note.txt"'),
    `kill -9 $(${ownerPid}); sleep 1; ${execute('cat note.txt')}`
  ]
}
