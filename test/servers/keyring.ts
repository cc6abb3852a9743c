import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Home } from '../run/home.ts'

const PROGRAMS = ['dbus-daemon', 'gnome-keyring-daemon', 'dbus-send'] as const

/** What this machine lacks to run a keyring; nothing where it can. */
export async function missingForKeyring(): Promise<string | undefined> {
  const folders = (process.env.PATH ?? '').split(delimiter)
  const absent = PROGRAMS.find((name) => !folders.some((folder) => existsSync(join(folder, name))))
  if (absent) return absent
  return import('keytar').then(
    () => undefined,
    () => 'libsecret',
  )
}

/** A D-Bus session of its own for a home, with GNOME Keyring as its Secret Service. */
export class Keyring implements AsyncDisposable {
  readonly #bus: ChildProcess
  readonly #home: Home
  #daemon: ChildProcess | undefined

  private constructor(bus: ChildProcess, home: Home) {
    this.#bus = bus
    this.#home = home
  }

  /** Leaves the address of the bus in the home's environment. */
  static async start(home: Home, password: string): Promise<Keyring> {
    mkdirSync(join(home.directory, 'run'), { mode: 0o700, recursive: true })
    const address = `--address=unix:dir=${join(home.directory, 'run')}`
    const bus = spawn('dbus-daemon', ['--session', '--nofork', '--print-address', address], {
      env: home.env,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const keyring = new Keyring(bus, home)
    for await (const line of createInterface({ input: bus.stdout })) {
      home.env.DBUS_SESSION_BUS_ADDRESS = line
      break
    }
    await keyring.unlock(password)
    return keyring
  }

  /** Starts the daemon anew; with another password than the first its keyring stays locked. */
  async unlock(password: string): Promise<void> {
    await this.#stopDaemon()
    const daemon = spawn(
      'gnome-keyring-daemon',
      ['--foreground', '--unlock', '--components=secrets'],
      { env: this.#home.env, stdio: ['pipe', 'ignore', 'ignore'] },
    )
    this.#daemon = daemon
    daemon.stdin.end(password)
    while (!(await this.#answers())) {
      if (daemon.exitCode !== null) throw new Error('gnome-keyring-daemon did not start')
    }
  }

  /** From now on it takes requests and never answers. */
  hang(): void {
    this.#daemon?.kill('SIGSTOP')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stopDaemon()
    await end(this.#bus)
  }

  async #stopDaemon(): Promise<void> {
    if (this.#daemon) await end(this.#daemon)
  }

  async #answers(): Promise<boolean> {
    const name = ['string:org.freedesktop.secrets']
    const ask = ['--session', '--print-reply=literal', '--dest=org.freedesktop.DBus', '/']
    const asked = spawn('dbus-send', [...ask, 'org.freedesktop.DBus.NameHasOwner', ...name], {
      env: this.#home.env,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let answer = ''
    asked.stdout.on('data', (chunk) => {
      answer += String(chunk)
    })
    await once(asked, 'close')
    return answer.includes('true')
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}
