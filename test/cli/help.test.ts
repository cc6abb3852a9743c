import { expect, test } from 'vitest'
import type { Deps } from '../../src/cli/deps.ts'
import type { Io } from '../../src/cli/io.ts'
import { createProgram } from '../../src/cli/program.ts'
import { widthOf } from '../../src/cli/text-width.ts'

function helpOf(path: readonly string[], outColumns: number): string[] {
  const lines: string[] = []
  const io = { outColumns, out: (text: string) => lines.push(...text.split('\n')) }
  let command = createProgram({ io: io as unknown as Io } as Deps, { exit: () => {}, words: [] })
  for (const name of path) {
    command = command.commands.find((one) => one.name() === name) ?? command
  }
  command.outputHelp()
  return lines
}

/** Examples are for copying: a terminal breaks them as it breaks any line. */
const isExample = (line: string) => /^ {2}(jit|eval) /.test(line)

test.each([40, 59, 80])('help fits %i columns, and no word of it is broken', (columns) => {
  for (const path of [[], ['exec'], ['login'], ['policy', 'explain']]) {
    const [narrow, wide] = [helpOf(path, columns), helpOf(path, Infinity)]
    for (const line of narrow.filter((line) => !isExample(line))) {
      expect(widthOf(line), line).toBeLessThanOrEqual(columns)
    }
    const words = (lines: readonly string[]) => lines.join(' ').split(/\s+/)
    expect(words(narrow)).toEqual(words(wide))
  }
})

test('where there is no room beside the flags, what they do stands under them', () => {
  const lines = helpOf(['grants'], 34)
  const at = lines.indexOf('  --watch')
  expect(lines[at + 1]).toMatch(/^ {6}\S/)
})
