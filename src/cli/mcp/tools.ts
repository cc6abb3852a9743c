import type { Tool } from '@modelcontextprotocol/sdk/types.js'
import { toJsonSchema } from '@valibot/to-json-schema'
import { parse, type Schema } from '../../protocol/parse.ts'
import type { Answer } from './answer.ts'
import type { Call } from './call.ts'
import { explainDenial } from './explain-denial.ts'
import { GrantInput, ListInput, RequestInput, RunInput } from './input.ts'
import { listAccess } from './list-access.ts'
import { release } from './release.ts'
import { requestAccess } from './request-access.ts'
import { run } from './run.ts'

/** A tool: what clients are told of it, and what it does. */
export interface McpTool {
  readonly listed: Tool
  /** @throws JitError `request_invalid` for arguments that it doesn't take; what the tool throws */
  call(input: unknown, call: Call): Promise<Answer>
}

function tool<T>(
  listed: Pick<Tool, 'name' | 'title' | 'description' | 'annotations'>,
  schema: Schema<T>,
  act: (input: T, call: Call) => Promise<Answer>,
): McpTool {
  const inputSchema = toJsonSchema(schema, {
    errorMode: 'ignore',
    target: 'draft-2020-12',
    typeMode: 'input',
  }) as Tool['inputSchema']
  return {
    listed: { ...listed, inputSchema },
    call: (input, call) => act(parse(schema, input, { what: listed.name }), call),
  }
}

/** In the order in which they are of use. */
export const TOOLS: readonly McpTool[] = [
  tool(
    {
      name: 'request_access',
      title: 'Ask for access ahead of time',
      description:
        'Ask for access for one command before it is needed, above all where people have to approve. Answers approved, pending or denied at once; then use run with the grant. Not needed where run may simply ask.',
      annotations: { readOnlyHint: false, destructiveHint: false, openWorldHint: true },
    },
    RequestInput,
    requestAccess,
  ),
  tool(
    {
      name: 'run',
      title: 'Run a command with access',
      description:
        'Run a command that needs credentials (a database, an API, production): asks for access, or uses an approved grant, runs it, gives the access back. The command gets the credentials, you get its output with them masked. Commands that need no credentials do not belong here.',
      annotations: { readOnlyHint: false, destructiveHint: true, openWorldHint: true },
    },
    RunInput,
    run,
  ),
  tool(
    {
      name: 'list_access',
      title: 'List access',
      description: 'List your grants and the requests that wait, with what they wait for.',
      annotations: { readOnlyHint: true, openWorldHint: true },
    },
    ListInput,
    listAccess,
  ),
  tool(
    {
      name: 'release',
      title: 'Give access back',
      description:
        'Give a grant back before its time or take a waiting request back. A command that still runs on it is stopped. Not needed after run.',
      annotations: {
        readOnlyHint: false,
        destructiveHint: true,
        idempotentHint: true,
        openWorldHint: true,
      },
    },
    GrantInput,
    release,
  ),
  tool(
    {
      name: 'explain_denial',
      title: 'Explain a denial',
      description:
        'Say why policy denied a request or lets it wait, and what would change that. Use it before asking again for the same.',
      annotations: { readOnlyHint: true, openWorldHint: true },
    },
    GrantInput,
    explainDenial,
  ),
]
