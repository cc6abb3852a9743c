import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js'
import {
  CallToolRequestSchema,
  type CallToolResult,
  ErrorCode,
  ListToolsRequestSchema,
  McpError,
  type ServerNotification,
  type ServerRequest,
} from '@modelcontextprotocol/sdk/types.js'
import manifest from '../../../package.json' with { type: 'json' }
import { JitError } from '../../lib/errors.ts'
import type { Deps } from '../deps.ts'
import { Acting } from './acting.ts'
import { failureOf, resultOf } from './answer.ts'
import type { Calls } from './calls.ts'
import { TOOLS } from './tools.ts'

const INSTRUCTIONS =
  'Access for one task at a time. To run something that needs credentials, call run; it asks for the access and gives it back. Where people have to approve, call request_access first and go on with other work. You never see a credential: do not look for one.'

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>

export interface McpParts {
  readonly deps: Deps
  readonly calls: Calls
  /** Aborted when the client is gone: each call ends with it. */
  readonly gone: AbortSignal
}

/** The tools of a copilot, for one client; to be connected to a transport. */
export function createMcpServer({ deps, calls, gone }: McpParts): Server {
  const server = new Server(
    { name: 'jit', title: 'jit', version: manifest.version },
    { capabilities: { tools: {}, logging: {} }, instructions: INSTRUCTIONS },
  )
  const acting = new Acting(deps, () => server.getClientVersion()?.name)
  server.onerror = (error) => deps.io.note(`jit mcp: ${error.message}`)
  server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: TOOLS.map(({ listed }) => listed),
  }))
  server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
    const { name, arguments: input = {} } = params
    const tool = TOOLS.find(({ listed }) => listed.name === name)
    if (!tool) throw new McpError(ErrorCode.InvalidParams, `there is no tool '${name}'`)
    // The SDK forgets a call whose id another one uses: so none may depend on it alone.
    const signal = AbortSignal.any([extra.signal, gone])
    const progress = progressOf(extra)
    return calls.take(() =>
      answering(acting, async () => {
        const connection = await acting.connection()
        const call = { deps, acting, connection, calls, client: server, progress, signal }
        return resultOf(await tool.call(input, call))
      }),
    )
  })
  return server
}

async function answering(
  acting: Acting,
  work: () => Promise<CallToolResult>,
): Promise<CallToolResult> {
  try {
    return await work()
  } catch (thrown) {
    const error = JitError.from(thrown)
    acting.failed(error)
    return resultOf(failureOf(error))
  }
}

/** Notifications of one call, where the client asked for them; each further than the last. */
function progressOf({ _meta, sendNotification, signal }: Extra): (message: string) => void {
  const progressToken = _meta?.progressToken
  let progress = 0
  return (message) => {
    if (progressToken === undefined || signal.aborted) return
    progress += 1
    const params = { progressToken, progress, message }
    sendNotification({ method: 'notifications/progress', params }).catch(() => {})
  }
}
