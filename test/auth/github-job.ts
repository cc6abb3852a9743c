import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What a runner of GitHub Actions gives to a job that may have identity tokens. */
export class GitHubJob implements AsyncDisposable {
  /** Audiences that tokens were asked for. */
  readonly asked: string[] = []
  readonly #server: Server

  private constructor(token: (audience: string) => Promise<string>) {
    this.#server = createServer((request, response) => {
      const url = new URL(request.url ?? '/', 'http://runner')
      const audience = url.searchParams.get('audience') ?? ''
      this.asked.push(audience)
      if (request.headers.authorization !== 'Bearer runner-secret') {
        response.writeHead(401).end('{}')
        return
      }
      void token(audience).then((value) => response.end(JSON.stringify({ count: 1, value })))
    })
  }

  static async start(token: (audience: string) => Promise<string>): Promise<GitHubJob> {
    const job = new GitHubJob(token)
    await new Promise<void>((resolve) => job.#server.listen(0, '127.0.0.1', resolve))
    return job
  }

  get env(): Record<string, string> {
    const { port } = this.#server.address() as AddressInfo
    return {
      CI: 'true',
      GITHUB_ACTIONS: 'true',
      GITHUB_REPOSITORY: 'acme/shop',
      GITHUB_RUN_ID: '1',
      GITHUB_RUN_ATTEMPT: '1',
      GITHUB_JOB: 'deploy',
      ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${port}/token?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'runner-secret',
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
