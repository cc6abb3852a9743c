import { expect, it } from 'vitest'
import type { Deps } from '../../src/cli/deps.ts'
import { runProgram } from '../../src/cli/program.ts'
import { blocksOf, page, ROOT } from './pages.ts'

const SHOWN = ['docs/model-operations.md', 'docs/policies.md']

/** `jit policy test|explain … --config examples/…` with what the page says that it prints. */
const commands = SHOWN.flatMap((path) =>
  blocksOf(page(path))
    .filter(({ info }) => info === 'console')
    .flatMap(({ text }) => text.split(/^(?=\$ )/m))
    .map((shown) => {
      const [command = '', ...output] = shown.trimEnd().split('\n')
      return { command: command.replace(/^\$ /, ''), output }
    })
    .filter(({ command }) => /^jit policy .*examples\/policies/.test(command)),
)

/** Words of a command line; double quotes hold one together. */
const wordsOf = (command: string) =>
  [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word]) => quoted ?? word ?? '')

it('shows more than a few commands', () => {
  expect(commands.length).toBeGreaterThan(8)
})

it.each(commands)('$command prints what the docs show', async ({ command, output }) => {
  const lines: string[] = []
  const io = { out: (line: string) => lines.push(line), note: () => {} }
  const deps = { cwd: ROOT, env: {}, io } as unknown as Deps
  await runProgram(wordsOf(command).slice(1), deps, async () => {})
  const gap = output.findIndex((line) => line.trim() === '…')
  if (gap < 0) expect(lines).toEqual(output)
  else {
    expect(lines.slice(0, gap)).toEqual(output.slice(0, gap))
    const rest = output.slice(gap + 1)
    expect(lines.slice(lines.length - rest.length)).toEqual(rest)
  }
})
