/**
 * The values of a git configuration file by `section.key` or `section.subsection.key`; section and
 * key in lower case. The last value of a key wins, as in git; of a remote's `url` the first.
 */
export type GitConfig = ReadonlyMap<string, string>

// Blanks in one place only: two in a row would try every way to share a long run of them.
const HEADER = /^\s*\[\s*([A-Za-z0-9.-]+)\s*(?:"((?:\\.|[^"\\])*)"\s*)?\]/
const ENTRY = /^\s*([A-Za-z][A-Za-z0-9-]*)\s*(?:=(.*))?$/s

/** Reads what it can and passes over the rest. Includes are not followed: they are other files. */
export function parseGitConfig(text: string): GitConfig {
  const values = new Map<string, string>()
  let section = ''
  for (let line of logicalLines(text)) {
    const header = HEADER.exec(line)
    if (header) {
      const name = (header[1] ?? '').toLowerCase()
      section = header[2] === undefined ? name : `${name}.${header[2].replace(/\\(.)/g, '$1')}`
      line = line.slice(header[0].length)
    }
    const entry = ENTRY.exec(line)
    if (!entry?.[1] || section === '') continue
    const key = `${section}.${entry[1].toLowerCase()}`
    if (key.startsWith('remote.') && key.endsWith('.url') && values.has(key)) continue
    values.set(key, entry[2] === undefined ? 'true' : parseValue(entry[2]))
  }
  return values
}

/** Lines, where a backslash at the end goes on in the next one. */
function logicalLines(text: string): string[] {
  const lines: string[] = []
  let parts: string[] = []
  let start = ''
  for (const raw of text.replace(/^\ufeff/, '').split(/\r?\n/)) {
    const isOpen = /(?:^|[^\\])(?:\\\\)*\\$/.test(raw)
    const part = isOpen ? raw.slice(0, -1) : raw
    if (start.trim() === '') start = part
    const isComment = /^\s*[#;]/.test(start)
    parts.push(isComment ? raw : part)
    if (isOpen && !isComment) continue
    lines.push(parts.join(''))
    parts = []
    start = ''
  }
  return parts.length === 0 ? lines : [...lines, parts.join('')]
}

const ESCAPES: Record<string, string> = { n: '\n', t: '\t', b: '\b' }

/** Quotes and escapes undone, comments and outer blanks dropped (git-config, "Syntax"). */
function parseValue(raw: string): string {
  let value = ''
  let kept = 0
  let quoted = false
  for (let i = 0; i < raw.length; i++) {
    const character = raw.charAt(i)
    if (character === '\\') value += ESCAPES[raw.charAt(++i)] ?? raw.charAt(i)
    else if (character === '"') quoted = !quoted
    else if (!quoted && (character === '#' || character === ';')) break
    else if (!quoted && /\s/.test(character)) {
      if (value !== '') value += character
      continue
    } else value += character
    kept = value.length
  }
  return value.slice(0, kept)
}

/** The remotes' names, in the order of the file. */
export function remoteNames(config: GitConfig): string[] {
  return [...config.keys()].flatMap((key) => /^remote\.(.+)\.url$/s.exec(key)?.[1] ?? [])
}
