import { execFileSync, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'

const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' })
const randomName = () => `jit${randomInt(1_000_000)}`

/** Whether no network namespaces are to be had here: that takes root, a kernel that lets it, and socat. */
export const noIslands = !canMakeNamespaces()

function canMakeNamespaces(): boolean {
  const name = randomName()
  try {
    execFileSync('socat', ['-V'], { stdio: 'ignore' })
    ip('netns', 'add', name)
    ip('netns', 'del', name)
    return true
  } catch (thrown) {
    // In CI the programs have to be there.
    if (process.env.CI && (thrown as NodeJS.ErrnoException).code === 'ENOENT') throw thrown
    return false
  }
}

/**
 * A machine of its own, as far as the network goes: a namespace with one link to this one. Some ports of
 * its loopback are those of ours, as long as the link is up.
 */
export class Island implements AsyncDisposable {
  readonly #name: string
  readonly #link: string
  readonly #undo: AsyncDisposableStack

  private constructor(parts: { name: string; link: string; undo: AsyncDisposableStack }) {
    this.#name = parts.name
    this.#link = parts.link
    this.#undo = parts.undo
  }

  /** @param ports of loopback here that are to be there, too */
  static async with(ports: readonly number[]): Promise<Island> {
    await using undo = new AsyncDisposableStack()
    const name = randomName()
    const [here, there] = [`${name}a`, `${name}b`]
    const net = `10.${randomInt(64, 128)}.${randomInt(256)}`
    ip('netns', 'add', name)
    undo.defer(() => void ip('netns', 'del', name))
    ip('link', 'add', here, 'type', 'veth', 'peer', 'name', there, 'netns', name)
    ip('addr', 'add', `${net}.1/30`, 'dev', here)
    ip('link', 'set', here, 'up')
    ip('-n', name, 'addr', 'add', `${net}.2/30`, 'dev', there)
    for (const link of ['lo', there]) ip('-n', name, 'link', 'set', link, 'up')
    for (const port of ports) {
      const [ours, loopback] = [`${net}.1:${port}`, `127.0.0.1:${port}`]
      undo.use(await relay([], { from: ours, to: loopback }))
      undo.use(await relay(['ip', 'netns', 'exec', name], { from: loopback, to: ours }))
    }
    return new Island({ name, link: there, undo: undo.move() })
  }

  /** The command, to be started there. */
  on(command: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.#name, ...command]
  }

  /** As if the cable were pulled, or put back. */
  link(state: 'down' | 'up'): void {
    ip('-n', this.#name, 'link', 'set', this.#link, state)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#undo.disposeAsync()
  }
}

/** Carries what comes at one address on to another. @param prefix of the command, to run it elsewhere */
async function relay(
  prefix: readonly string[],
  { from, to }: Record<'from' | 'to', string>,
): Promise<AsyncDisposable> {
  const [host, port] = from.split(':')
  const listen = `TCP-LISTEN:${port},bind=${host},fork,reuseaddr`
  const [program = '', ...args] = [...prefix, 'socat', '-d', '-d', listen, `TCP:${to}`]
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true })
  const exited = once(child, 'exit')
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject).once('exit', () => reject(new Error(`no relay at ${from}`)))
    child.stderr.on('data', (chunk) => {
      if (String(chunk).includes('listening on')) resolve()
    })
  })
  return {
    async [Symbol.asyncDispose]() {
      // With what it forked for its connections.
      process.kill(-(child.pid ?? 0), 'SIGKILL')
      await exited
    },
  }
}
