import { homedir, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'

/** Where things live: XDG base directories, each with `jit` under it. */
export interface Paths {
  /** `config.yaml`: the broker, trusted repositories. */
  readonly config: string
  /** The keystore's files and what was last seen of each broker. */
  readonly data: string
  readonly cache: string
  /** One line a live grant, for the prompt; files that a tool needs; gone at log-out. */
  readonly runtime: string
}

type Environment = Readonly<Record<string, string | undefined>>

/** An XDG variable counts only when absolute (XDG Base Directory Specification 0.8). */
function base(env: Environment, name: string, fallback: string): string {
  const value = env[name]
  return value?.startsWith('/') ? value : fallback
}

/** The directories of the user that `env` describes. None is created. */
export function pathsFrom(env: Environment): Paths {
  const home = env.HOME || homedir()
  const fallbackRuntime = join(tmpdir(), `jit-${userInfo().uid}`)
  return {
    config: join(base(env, 'XDG_CONFIG_HOME', join(home, '.config')), 'jit'),
    data: join(base(env, 'XDG_DATA_HOME', join(home, '.local', 'share')), 'jit'),
    cache: join(base(env, 'XDG_CACHE_HOME', join(home, '.cache')), 'jit'),
    runtime: join(base(env, 'XDG_RUNTIME_DIR', fallbackRuntime), 'jit'),
  }
}
