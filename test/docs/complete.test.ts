import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PeopleFile, PipelineFile } from '../../src/broker/config/identity.ts'
import { BrokerFile, TARGET_KEYS } from '../../src/broker/config/schema.ts'
import { commandTree } from '../../src/cli/command-tree.ts'
import type { Deps } from '../../src/cli/deps.ts'
import { createProgram } from '../../src/cli/program.ts'
import { ERROR_CODES } from '../../src/lib/errors.ts'
import { everyCommand } from '../../src/shell/command-tree.ts'
import { targetKinds } from '../../src/targets/kinds.ts'
import { allPages, blocksOf, page, proseOf, ROOT } from './pages.ts'

const exists = (path: string) => existsSync(join(ROOT, path))

/** `section` of a page whose heading is this, up to the next of the same level. */
function section(text: string, heading: string): string {
  const start = text.indexOf(`\n${heading}\n`)
  const level = heading.slice(0, heading.indexOf(' ') + 1)
  const end = text.indexOf(`\n${level}`, start + 1)
  return start < 0 ? '' : text.slice(start, end < 0 ? undefined : end)
}

/** Every key that a valibot schema knows, those below it included. */
function keysOf(schema: unknown, found = new Set<string>()): Set<string> {
  const { pipe, wrapped, entries, value, item } = schema as Partial<Record<string, unknown>>
  for (const inner of Array.isArray(pipe) ? pipe.slice(1) : [wrapped, value, item]) {
    if (inner) keysOf(inner, found)
  }
  for (const [key, inner] of Object.entries(entries ?? {})) {
    found.add(key)
    keysOf(inner, found)
  }
  return found
}

describe('links', () => {
  const links = allPages().flatMap((found) =>
    [...proseOf(found).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link = '']) => ({ from: found.path, link }))
      .filter(({ link }) => !/^[a-z]+:/.test(link)),
  )

  it.each(links)('$from → $link leads somewhere', ({ from, link }) => {
    const [path = '', anchor] = link.split('#')
    const target = path === '' ? from : join(dirname(from), path)
    expect(exists(target), target).toBe(true)
    if (anchor === undefined || !target.endsWith('.md')) return
    const headings = [...page(target).text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    )
    expect(headings).toContain(anchor)
  })
})

describe('files', () => {
  const files = allPages().flatMap(({ path: from, text }) =>
    [...text.matchAll(/`((?:src|test|bin|bench|examples|scripts)\/[\w./-]+)`/g)].map(
      ([, path = '']) => ({
        from,
        path,
      }),
    ),
  )
  const named = files.filter(({ path }) => !path.includes('NAME'))

  it.each(named)('$path, which $from names, is there', ({ path }) => {
    expect(exists(path)).toBe(true)
  })
})

/** Every command, down to those below others, with its flags as its help shows them. */
function commandsOfHelp() {
  const program = createProgram({} as Deps, { exit() {}, words: [] })
  const commands = everyCommand(commandTree(program)).map(({ path, flags }) => ({
    words: path,
    flags: flags.map(({ long, value }) =>
      value && !value.optional ? `${long} <${value.name}>` : long,
    ),
  }))
  return commands.filter(({ words }) => words.length > 0 && words.at(-1) !== 'help')
}

describe('docs/cli.md', () => {
  const { text } = page('docs/cli.md')
  const commands = commandsOfHelp()

  it('is compared with the real help', () => {
    expect(commands.length).toBeGreaterThan(12)
    expect(commands.flatMap(({ flags }) => flags)).toContain('--min-ttl <duration>')
  })

  it.each(commands.map(({ words, flags }) => ({ command: words.join(' '), flags })))(
    'has jit $command with all its flags',
    ({ command, flags }) => {
      const about = section(text, `### \`jit ${command}\``)
      expect(about).not.toBe('')
      for (const flag of flags) if (flag !== '--help') expect(about).toContain(`\`${flag}\``)
    },
  )

  it('names no flag that no command has', () => {
    const real = new Set(commands.flatMap(({ flags }) => flags.map((flag) => flag.split(' ')[0])))
    const rows = [...text.matchAll(/^\| `(?:-\w`, `)?(--[\w-]+)/gm)].map(([, flag]) => flag)
    for (const flag of rows) expect([...real, '--version']).toContain(flag)
  })
})

describe('docs/broker.md', () => {
  const { text } = page('docs/broker.md')
  const keys = new Set([BrokerFile, PeopleFile, PipelineFile].flatMap((one) => [...keysOf(one)]))
  for (const key of Object.keys(TARGET_KEYS)) keys.add(key)

  it.each([...keys])('says what %s is', (key) => {
    expect(text).toMatch(new RegExp(`\`(?:[a-z_.<>…]+\\.)?${key}\``))
  })
})

describe('docs/targets.md', () => {
  it.each(targetKinds.map(({ type, config, valueNames }) => ({ type, config, valueNames })))(
    'has a section on $type with every key and template value',
    ({ type, config, valueNames }) => {
      const about = section(page('docs/targets.md').text, `## \`${type}\``)
      for (const key of keysOf(config)) expect(about).toContain(`\`${key}\``)
      for (const name of valueNames) expect(about).toContain(`{{${name}}}`)
    },
  )
})

describe('docs/protocol.md', () => {
  it.each([...ERROR_CODES])('says what the code %s means', (code) => {
    expect(page('docs/protocol.md').text).toMatch(new RegExp(`^\\| \`${code}\` +\\|`, 'm'))
  })
})

describe('docs/dependencies.md', () => {
  const { dependencies, devDependencies, allowScripts } = JSON.parse(
    readFileSync(join(ROOT, 'package.json'), 'utf8'),
  ) as Record<'dependencies' | 'devDependencies' | 'allowScripts', Record<string, string>>
  const names = [dependencies, devDependencies, allowScripts].flatMap((group) => Object.keys(group))

  it.each([...new Set(names)])('says why %s', (name) => {
    expect(page('docs/dependencies.md').text).toContain(`\`${name}\``)
  })
})

describe('docs/security.md', () => {
  const claims = proseOf(page('docs/security.md')).matchAll(/`(test\/[\w./-]+)`|“([^”]+)”/g)
  let file = ''
  const named: { file: string; name: string }[] = []
  for (const [, path, name] of claims) {
    if (path) file = path
    else if (name) named.push({ file, name })
  }

  it.each(named)('$file really has the test “$name”', ({ file, name }) => {
    expect(exists(file), file).toBe(true)
    expect(readFileSync(join(ROOT, file), 'utf8')).toContain(name)
  })
})

describe('the text of the docs', () => {
  it.each(allPages())('$path has no line that only this machine understands', ({ text }) => {
    expect(text).not.toMatch(/\/work\/|\/root\/|localhost:\d{5}/)
    expect(blocksOf({ path: '', text }).every(({ info }) => info !== '')).toBe(true)
  })
})
