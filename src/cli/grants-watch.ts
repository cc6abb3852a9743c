import type { BrokerClient } from '../client/broker.ts'
import type { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { Deps } from './deps.ts'
import { EXIT, exitCodeOf } from './exit-codes.ts'
import { inForeground } from './foreground.ts'
import { FullScreen } from './full-screen.ts'
import { type Inventory, inventory, inventoryLines, NO_GRANTS, type Scope } from './inventory.ts'
import { polled } from './polling.ts'
import { formatTime } from './receipt-text.ts'
import { isAutomated } from './terminal.ts'
import { cutTo, padTo } from './text-width.ts'
import { viewOn } from './view.ts'

/** Milliseconds between two looks at the broker, and between two drawings: the time left goes on without it. */
const LOOK_EVERY = 2000
const DRAW_EVERY = 1000

interface Watching {
  readonly client: BrokerClient
  readonly scope: Scope
  readonly json: boolean
  readonly deps: Deps
}

/**
 * Shows what lives, and what becomes of it, until it is ended: on a terminal on a screen of its own, elsewhere each
 * time that something changed. A broker that restarts is waited for.
 * @throws JitError what the broker answers to the first look; what no waiting would change later
 */
export async function watchGrants(watching: Watching): Promise<number> {
  const { deps, json, client, scope } = watching
  const first = await inventory(client, scope)
  const { stdout, stdin } = process
  const drawable = stdout.isTTY && deps.env.TERM !== 'dumb' && !isAutomated(deps.env)
  // In the background the keys are somebody else's, and so is the screen.
  if (json || !drawable || inForeground() === false) return follow(first, watching)
  return onScreen(first, { ...watching, streams: { stdin, stdout } })
}

/** Every look from now on, this side of the first. */
async function* looks(
  { client, scope }: Watching,
  { signal, lost }: { signal: AbortSignal; lost: (error: JitError) => void },
): AsyncGenerator<Inventory> {
  const look = () => inventory(client, scope)
  yield* polled(look, { every: LOOK_EVERY, signal, lost })
}

async function follow(first: Inventory, watching: Watching): Promise<number> {
  const { deps } = watching
  const { io, interrupted: signal } = deps
  const lost = ({ message }: JitError) =>
    io.note(`jit: ${io.style.yellow('warning')}: ${escapeForDisplay(message)}`)
  let told = ''
  const tell = (now: Inventory) => {
    const text = JSON.stringify(now)
    if (text !== told) print(now, watching)
    told = text
  }
  tell(first)
  try {
    for await (const now of looks(watching, { signal, lost })) tell(now)
  } catch (thrown) {
    if (!signal.aborted) throw thrown
  }
  return exitCodeOf('cancelled', { wraps: false })
}

function print(now: Inventory, { deps, json }: Watching): void {
  const { io, clock } = deps
  const at = new Date(clock.now()).toISOString()
  const nothing = now.grants.length > 0 ? [] : [NO_GRANTS]
  const lines = () => [at, ...nothing, ...inventoryLines(now, viewOn(deps)), '']
  for (const line of json ? [JSON.stringify({ at, ...now })] : lines()) io.out(line)
}

async function onScreen(
  first: Inventory,
  watching: Watching & { streams: ConstructorParameters<typeof FullScreen>[0] },
): Promise<number> {
  const { deps, streams } = watching
  const { clock } = deps
  const ended = new AbortController()
  const signal = AbortSignal.any([deps.interrupted, ended.signal])
  let now = first
  let lost: { readonly error: JitError; readonly at: number } | undefined
  let code: number = exitCodeOf('cancelled', { wraps: false })
  const draw = () => screen.draw(screenLines({ now, lost }, { watching, columns: screen.columns }))
  using screen = new FullScreen(streams, {
    changed: () => draw(),
    quit: (how) => {
      if (how === 'asked') code = EXIT.ok
      ended.abort()
    },
  })
  const hangUp = () => ended.abort()
  process.once('SIGHUP', hangUp)
  using _tick = every(DRAW_EVERY, draw)
  draw()
  try {
    const missed = (error: JitError) => {
      lost = { error, at: clock.now() }
      draw()
    }
    for await (const found of looks(watching, { signal, lost: missed })) {
      now = found
      lost = undefined
      draw()
    }
  } catch (thrown) {
    if (!signal.aborted) throw thrown
  } finally {
    process.off('SIGHUP', hangUp)
  }
  return code
}

function every(milliseconds: number, act: () => void): Disposable {
  const timer = setInterval(act, milliseconds)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

/** A line above, what is known, and in between what is wrong. */
function screenLines(
  { now, lost }: { now: Inventory; lost: { error: JitError; at: number } | undefined },
  { watching, columns }: { watching: Watching; columns: number },
): string[] {
  const { deps, scope, client } = watching
  const { outStyle } = deps.io
  const view = { ...viewOn(deps), columns }
  const title = `${scope === 'all' ? "everyone's grants" : 'my grants'} at ${client.url}`
  const keys = 'q: quit'
  const room = Math.max(0, columns - keys.length - 2)
  const since = lost && formatTime(new Date(lost.at).toISOString(), view.now)
  const away = lost && `! since ${since}, trying again: ${escapeForDisplay(lost.error.message)}`
  return [
    `${padTo(cutTo(title, room), room)}  ${outStyle.dim(keys)}`,
    away ? outStyle.yellow(cutTo(away, columns)) : '',
    ...(now.grants.length > 0 ? [] : [cutTo(NO_GRANTS, columns)]),
    ...inventoryLines(now, view),
  ]
}
