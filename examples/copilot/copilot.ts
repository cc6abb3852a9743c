/**
 * What a coding agent does, without a model: it speaks to `jit mcp` as MCP clients do, and types into
 * a shell. Meant to be run in a sandbox, against `jit dev --postgres`:
 *
 *     jit sandbox -- node examples/copilot/copilot.ts
 *
 * It says what it does, one line each, and goes on until it is stopped.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'

const NAME = 'example-copilot'
/** How `jit` is called: by these words, or by its name. */
const [jit = 'jit', ...rest] = process.argv.slice(2)

const psql = (sql: string) => ['psql', '-XqAtc', sql]
const say = (what: string, text: string) => process.stdout.write(`${what}: ${text.trim()}\n`)

const client = new Client({ name: NAME, version: '1.0.0' })
await client.connect(new StdioClientTransport({ command: jit, args: [...rest, 'mcp'], env: own() }))

/** The SDK passes on next to nothing of the environment by itself. */
function own(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    ),
  )
}

async function tool(
  name: string,
  input: Record<string, unknown>,
): Promise<Record<string, unknown>> {
  const { structuredContent } = await client.callTool({ name, arguments: input }, undefined, {
    timeout: 300_000,
  })
  return structuredContent as Record<string, unknown>
}

async function shell(...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(jit, [...rest, ...args])
  return stdout
}

say('who I am', (await shell('whoami')).split('\n')[0] ?? '')

const development = { environment: 'dev', targets: ['dev-db'] }
const first = await tool('run', {
  ...development,
  task: 'deploy',
  command: psql('create table if not exists orders (id int); select count(*) from orders'),
})
say('made a table in dev', String(first.stdout))

for (const number of [1, 2, 3]) {
  const sql = `insert into orders values (${number}) returning id`
  const flags = ['--env', 'dev', '--target', 'dev-db', '--task', 'deploy', '--quiet', '--']
  say('wrote from the shell', await shell('exec', ...flags, ...psql(sql)))
}

/** Asks for production, and goes on with it once somebody has answered. */
async function inProduction(reason: string): Promise<Record<string, unknown>> {
  const asked = {
    environment: 'prod',
    targets: ['prod-db'],
    task: 'deploy',
    reason,
    command: psql('select count(*) from orders'),
  }
  const request = await tool('request_access', asked)
  say('production', `${request.outcome} ${request.grant}`)
  return tool('run', { command: asked.command, grant: request.grant, wait_seconds: 300 })
}

say('counted in production', JSON.stringify(await inProduction('count the orders')))
say('and once more', JSON.stringify(await inProduction('count them again')))

say('goes on', 'until it is stopped')
const loop = 'while psql -XqAtc "select max(id) from orders"; do sleep 0.2; done'
await tool('run', { ...development, task: 'plan', ttl: '10m', command: ['sh', '-c', loop] })
await client.close()
