import { spawn } from 'node:child_process'
import { withCoresAsBefore } from '../lib/own-memory.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** The program that opens a page, or nothing where there is no desktop. `BROWSER` comes first. */
function opener(env: Environment, platform: NodeJS.Platform): readonly string[] | undefined {
  if (env.BROWSER) return [env.BROWSER]
  if (platform === 'darwin') return ['open']
  if (platform === 'win32') return ['rundll32', 'url.dll,FileProtocolHandler']
  return env.DISPLAY || env.WAYLAND_DISPLAY ? ['xdg-open'] : undefined
}

/** Whether there is a desktop, or a browser of choice, to open pages in. */
export function hasBrowser(env: Environment): boolean {
  return opener(env, process.platform) !== undefined
}

/** Opens a page in the person's browser; `false` where there is none. Only http and https are opened. */
export async function openInBrowser(url: URL, env: Environment): Promise<boolean> {
  const [program, ...args] = opener(env, process.platform) ?? []
  if (!program || !/^https?:$/.test(url.protocol)) return false
  return new Promise((resolve) => {
    const options = { stdio: 'ignore', detached: true } as const
    const child = withCoresAsBefore(() => spawn(program, [...args, url.href], options))
    child.once('error', () => resolve(false))
    child.once('spawn', () => resolve(true))
    child.unref()
  })
}
