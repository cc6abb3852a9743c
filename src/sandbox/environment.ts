import type { Environment } from './sandbox.ts'
import { toolOf } from './tools.ts'

/** What any program may need and that holds no secret. */
const PASSED = new Set([
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'LANG',
  'LANGUAGE',
  'TZ',
  'TERM',
  'TERM_PROGRAM',
  'COLORTERM',
  'COLUMNS',
  'LINES',
  'NO_COLOR',
  'FORCE_COLOR',
  'CLICOLOR',
  'CLICOLOR_FORCE',
  'CI',
  'EDITOR',
  'VISUAL',
  'PAGER',
  'LS_COLORS',
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'REQUESTS_CA_BUNDLE',
  'CURL_CA_BUNDLE',
  'VIRTUAL_ENV',
  'NVM_DIR',
  'NVM_BIN',
  'VOLTA_HOME',
  'ASDF_DIR',
  'ASDF_DATA_DIR',
  'PYENV_ROOT',
  'RBENV_ROOT',
  'CARGO_HOME',
  'RUSTUP_HOME',
  'GOPATH',
  'GOROOT',
  'JAVA_HOME',
])

/** Never passed on, whatever a profile says: ways to the person's session, keys and other processes. */
const NEVER =
  /^(?:JIT_|DBUS_|SSH_(?:AUTH_SOCK|AGENT_PID)$|GPG_|GNOME_KEYRING|KEYRING|XDG_RUNTIME_DIR$|XAUTHORITY$|DOCKER_HOST$|CONTAINER_HOST$|LD_|BASH_(?:ENV|FUNC_)|ENV$|SHELLOPTS$|BASHOPTS$|NODE_OPTIONS$)/

/** Of a shell and its terminal: nobody misses them, so leaving them out isn't told. */
const UNTOLD =
  /^(?:_|PWD|OLDPWD|SHLVL|HOSTNAME|HOSTTYPE|MAIL|HIST\w*|PS[0-9]|WINDOWID|TMPDIR|TMP|TEMP|XDG_\w+|(?:HTTPS?|ALL|NO|FTP)_PROXY)$/i

/** Inside, where each sandbox has its own. */
const PRIVATE = { TMPDIR: '/tmp', XDG_RUNTIME_DIR: '/run' } as const

/**
 * The environment of a sandbox: what the allow list, the tool that runs and the person's profile name,
 * and the way out.
 * @param tool the executable that runs
 * @returns also the names of what was left out, sorted
 */
export function sandboxEnvironment({
  parent,
  keep,
  tool,
  link,
  proxy,
}: {
  parent: Environment
  keep: readonly string[]
  tool: string
  link: string
  proxy: string
}): { variables: Record<string, string>; leftOut: string[] } {
  const kept = new Set([...PASSED, ...keep, ...toolOf(tool).environment])
  const passes = (name: string) => !NEVER.test(name) && (kept.has(name) || name.startsWith('LC_'))
  const present = Object.entries(parent).filter((entry): entry is [string, string] =>
    Boolean(entry[1]),
  )
  return {
    variables: {
      ...Object.fromEntries(present.filter(([name]) => passes(name))),
      ...PRIVATE,
      ...proxyVariables(proxy),
      JIT_SANDBOX: link,
    },
    leftOut: present
      .map(([name]) => name)
      .filter((name) => !passes(name) && !UNTOLD.test(name))
      .sort(),
  }
}

/** The names that programs look for; loopback is the sandbox's own. */
function proxyVariables(proxy: string): Record<string, string> {
  const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'GRPC_PROXY']
  const values = names.flatMap((name) => [
    [name, proxy],
    [name.toLowerCase(), proxy],
  ])
  const own = 'localhost,127.0.0.1,::1'
  return { ...Object.fromEntries(values), NO_PROXY: own, no_proxy: own, NODE_USE_ENV_PROXY: '1' }
}
