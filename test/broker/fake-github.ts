import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** As much of GitHub's REST API as says where a commit is, over real HTTP. */
export class FakeGitHub implements AsyncDisposable {
  /** Commits of each branch of `acme/shop`, the newest last. */
  readonly branches = new Map<string, { commits: string[]; protected: boolean }>()
  readonly requests: { path: string; authorization: string | undefined }[] = []
  /** Takes the place of its answers. */
  answer: Answer | undefined
  /** Requests that are being answered, and the most there were. */
  underWay = 0
  most = 0
  readonly #server: Server

  private constructor() {
    this.#server = createServer((request, response) => {
      const { url: path = '', headers } = request
      this.requests.push({ path, authorization: headers.authorization })
      this.most = Math.max(this.most, ++this.underWay)
      response.on('close', () => {
        this.underWay -= 1
      })
      if (this.answer) this.answer(request, response)
      else this.#route(path, response)
    })
  }

  static async start(): Promise<FakeGitHub> {
    const forge = new FakeGitHub()
    await new Promise<void>((resolve) => forge.#server.listen(0, '127.0.0.1', resolve))
    return forge
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  #route(path: string, response: ServerResponse): void {
    const json = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    const [, kind, rest = ''] = /^\/repos\/acme\/shop\/(branches|compare)\/(.*)$/.exec(path) ?? []
    if (kind === 'branches') {
      const name = decodeURIComponent(rest)
      const branch = this.branches.get(name)
      if (!branch) return void json(404, { message: 'Branch not found' })
      const commit = { sha: branch.commits.at(-1) }
      return void json(200, { name, protected: branch.protected, commit })
    }
    if (kind === 'compare') {
      const [base = '', head = ''] = rest.split('...')
      const branch = [...this.branches.values()].find(({ commits }) => commits.at(-1) === base)
      const status = branch?.commits.includes(head) ? 'behind' : 'diverged'
      return void json(200, { status, ahead_by: 0, behind_by: 1, commits: [], files: [] })
    }
    json(404, { message: 'Not Found' })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
