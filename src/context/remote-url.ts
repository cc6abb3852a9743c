import { withoutTrailing } from '../lib/without-trailing.ts'

const URL_FORM = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)([^?#]*)/
const SCP_FORM = /^([^/:[\]]+|[^/:[\]]*\[[^\]/]*\]):(.*)$/s
const AUTHORITY = /^(?:.*@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(?::(\d*))?$/s

/** Schemes that name a host, with the port that goes without saying. */
const DEFAULT_PORTS: Readonly<Record<string, string>> = {
  https: '443',
  http: '80',
  ssh: '22',
  'git+ssh': '22',
  'ssh+git': '22',
  git: '9418',
}

/**
 * One name for a repository however its remote is written: `git@github.com:Acme/shop.git`,
 * `ssh://git@github.com:22/Acme/shop` and `https://user:token@GitHub.com/Acme/shop.git/` are all
 * `github.com/Acme/shop`. The host is lower-case, a path keeps its case, an unusual port stays;
 * credentials, query and fragment never come through.
 * @returns `""` for a local path, and for what can't be read as a remote
 */
export function normaliseRemote(remote: string): string {
  const url = URL_FORM.exec(remote)
  if (url) {
    const [, scheme = '', authority = '', path = ''] = url
    const port = DEFAULT_PORTS[scheme.toLowerCase()]
    return port ? repositoryName({ authority, path, defaultPort: port }) : ''
  }
  const scp = SCP_FORM.exec(remote)
  // One letter is a Windows drive; `helper::address` a program (gitremote-helpers).
  if (!scp || /^[A-Za-z]$/.test(scp[1] ?? '') || scp[2]?.startsWith(':')) return ''
  return repositoryName({ authority: scp[1] ?? '', path: scp[2] ?? '', defaultPort: '22' })
}

function repositoryName(parts: { authority: string; path: string; defaultPort: string }): string {
  const [, host = '', port = ''] = AUTHORITY.exec(parts.authority) ?? []
  const segments = parts.path.split('/').filter((segment) => segment !== '')
  const last = withoutTrailing(segments.pop() ?? '', '.git')
  segments.push(last)
  const name = withoutTrailing(host.toLowerCase(), '.')
  const odd = segments.some((segment) => /^\.{0,2}$/.test(segment))
  if (name === '' || odd || /[\p{C}\p{Z}\\?#]/u.test(parts.path)) return ''
  const place = port === '' || port === parts.defaultPort ? name : `${name}:${port}`
  const repository = [place, ...segments].join('/')
  return repository.length <= 512 ? repository : ''
}
