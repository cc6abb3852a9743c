import { resolve } from 'node:path'
import type { Command } from 'commander'
import { JitError } from '../../lib/errors.ts'
import { escapeForDisplay } from '../../lib/escape.ts'
import { debuggerAddress } from '../../lib/own-memory.ts'
import type { Deps } from '../deps.ts'
import { inForeground } from '../foreground.ts'

interface DevOptions {
  readonly port?: string
  readonly data?: string
  readonly postgres?: string
  readonly json?: boolean
}

/** `jit dev`: everything on loopback, to try `jit` with. */
export function registerDev(program: Command, deps: Deps, exit: (code: number) => void): void {
  program
    .command('dev')
    .description('run a broker and an OIDC provider on loopback, for development')
    .option('--port <n>', 'port to listen on (default: one that is free)')
    .option(
      '--data <dir>',
      'keep keys, ledger, policies and sign-ins there (default: nothing is kept)',
    )
    .option('--postgres <url>', 'admin URL of a PostgreSQL: adds the targets dev-db and prod-db')
    .option('--json', 'print one line of JSON when ready')
    .action(async (options: DevOptions) => exit(await runDev(options, deps)))
}

/** @throws JitError `usage` */
function parsePort(text: string): number {
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port
  throw new JitError('usage', `'${text}' is not a port`, { hint: 'expected 0 to 65535' })
}

/** Serves until it is interrupted. */
export async function runDev(options: DevOptions, deps: Deps): Promise<number> {
  const { startDevelopment } = await import('../../dev/development.ts')
  const { serve } = await import('../serving.ts')
  const log = await logFor(options, deps)
  // Once the terminal has gone, its streams no longer say that they were one.
  const onTerminal = deps.io.interactive
  deps.interrupted.throwIfAborted()
  const debugging = debuggerAddress()
  if (debugging !== undefined) log.warn('a debugger can read every secret', { at: debugging })
  await serve({
    log,
    // With its terminal gone it isn't in the foreground of one.
    hangup: () => (onTerminal && !inForeground() ? 'stop' : 'reload'),
    start: () =>
      startDevelopment({
        port: parsePort(options.port ?? '0'),
        data: options.data === undefined ? undefined : resolve(deps.cwd, options.data),
        postgres: options.postgres,
        clock: deps.clock,
        env: deps.env,
        log,
      }).catch((thrown) => withHint(thrown, options)),
    ready({ broker, issuer }) {
      if (options.json) deps.io.out(JSON.stringify({ broker, issuer }))
      else announce(deps, { broker, issuer }, options)
    },
    async reload(development) {
      await development.reload()
      if (!options.json) deps.io.note('the policies were read again')
    },
    stop: (development) => development.stop(),
  })
  return 0
}

/** A person is told what is wrong, a program everything. */
async function logFor({ json }: DevOptions, { io, env, clock }: Deps) {
  if (json || env.JIT_DEBUG === '1') {
    const { createLog } = await import('../../broker/log.ts')
    return createLog(io.note, { now: clock.now })
  }
  const warn = (message: string, detail: Readonly<Record<string, unknown>> = {}) => {
    const facts = Object.entries(detail).map(([name, value]) => `${name}: ${String(value)}`)
    const text = [message, ...facts].join(', ')
    io.note(`jit: ${io.style.yellow('warning')}: ${escapeForDisplay(text)}`)
  }
  const nothing = () => {}
  return { debug: nothing, info: nothing, warn, error: warn }
}

/** What a person can do about what kept it from starting. */
function withHint(thrown: unknown, { port, data }: DevOptions): never {
  const error = JitError.from(thrown)
  const failed = thrown as NodeJS.ErrnoException
  if (data !== undefined && failed.syscall === 'mkdir') {
    throw new JitError('usage', `--data ${data}: can't be written to (${failed.code})`, {
      hint: 'name a folder of your own',
      cause: thrown,
    })
  }
  const { code } = (error.cause ?? {}) as NodeJS.ErrnoException
  if (code === 'EADDRINUSE') {
    throw new JitError('usage', `port ${port} is taken`, {
      hint: 'give another --port, or none for one that is free',
      cause: error,
    })
  }
  if (code === 'EACCES' && port !== undefined) {
    throw new JitError('usage', `port ${port} can't be listened on by this user`, {
      hint: 'give a --port from 1024 on, or none for one that is free',
      cause: error,
    })
  }
  if (error.code !== 'target_unreachable' || error.hint !== undefined) throw error
  throw new JitError('target_unreachable', error.message, {
    hint: 'is PostgreSQL running, and the address in --postgres right?',
    cause: error,
  })
}

function announce(
  { io, cwd }: Deps,
  { broker, issuer }: { broker: string; issuer: string },
  { data }: DevOptions,
): void {
  const { bold, dim } = io.style
  io.note(`${bold('jit dev')} serves at ${bold(broker)} (sign-in at ${issuer})`)
  io.note('  for development only: accounts dev, lead and admin sign in without a password')
  if (data !== undefined) {
    const folder = escapeForDisplay(resolve(cwd, data, 'policies'))
    io.note(`  policies: ${folder}, read again on: kill -HUP ${process.pid}`)
  }
  io.note('')
  io.note('  in another terminal:')
  io.note(`    jit login ${broker}`)
  io.note('    jit exec --env dev --task deploy -- env')
  io.note('')
  io.note(dim('Ctrl-C stops it'))
}
