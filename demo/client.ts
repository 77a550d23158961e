/** Where a session is, as `GET /instances/:id` tells. */
export interface Whereabouts {
  epoch: number
  owner: { memberId: string; pid: number }
}

/** What `POST /execute` answers. */
export interface CommandResult {
  stdout: string
  stderr: string
  exit_code: number
}

/** One line of `POST /execute/stream`, with the time since the request. */
export interface StreamedLine {
  atMs: number
  line: string
}

const TIMEOUT_MS = 45_000

/** An ordinary client of the gateway: plain HTTP, no knowledge of pods. */
export class Client {
  readonly #url: string

  constructor(url: string) {
    this.#url = url
  }

  async create(id: string): Promise<void> {
    await this.#send('/agents/shell/instances', { method: 'POST', body: JSON.stringify({ instanceId: id }) })
  }

  async whereIs(id: string): Promise<Whereabouts> {
    return (await (await this.#send(`/instances/${id}`)).json()) as Whereabouts
  }

  async run(id: string, command: string): Promise<CommandResult> {
    const response = await this.#send('/execute', { method: 'POST', body: JSON.stringify({ command }), id })
    return (await response.json()) as CommandResult
  }

  /** Runs a command and yields its output while it runs. */
  async *stream(id: string, command: string): AsyncGenerator<StreamedLine> {
    const startedAt = performance.now()
    const response = await this.#send('/execute/stream', { method: 'POST', body: JSON.stringify({ command }), id })
    let rest = ''
    for await (const text of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) yield { atMs: performance.now() - startedAt, line }
    }
    if (rest !== '') throw new Error(`the stream was cut short after ${rest}`)
  }

  async upload(id: string, file: { name: string; content: string }): Promise<void> {
    const form = new FormData()
    form.set('file', new Blob([file.content]), file.name)
    await this.#send('/upload', { method: 'POST', body: form, id })
  }

  async download(id: string, path: string): Promise<string> {
    return (await this.#send(`/download/${path}`, { id })).text()
  }

  async remove(id: string): Promise<void> {
    await this.#send(`/instances/${id}`, { method: 'DELETE' })
  }

  /** The status of a plain GET, whatever it is. */
  async status(path: string): Promise<number> {
    const response = await fetch(this.#url + path, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    await response.arrayBuffer()
    return response.status
  }

  async #send(
    path: string,
    options: { method?: string; body?: string | FormData; id?: string } = {}
  ): Promise<Response> {
    const { method = 'GET', body, id } = options
    const response = await fetch(this.#url + path, {
      method,
      headers: {
        ...(id !== undefined && { 'x-sandbox-id': id }),
        ...(typeof body === 'string' && { 'content-type': 'application/json' })
      },
      ...(body !== undefined && { body }),
      signal: AbortSignal.timeout(TIMEOUT_MS)
    })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return response
  }
}
