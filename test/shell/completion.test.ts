import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { madeOfCommands } from '../../scripts/made-of-commands.ts'
import type { CommandNode } from '../../src/shell/command-tree.ts'
import { pwshCompletion } from '../../src/shell/completion-pwsh.ts'
import { ROOT } from '../docs/pages.ts'

describe('what is made of the command tree', () => {
  it.each(Object.entries(madeOfCommands()))(
    '%s is what npm run build makes of the commands as they are',
    (file, text) => {
      expect(readFileSync(join(ROOT, file), 'utf8') === text, `${file} is stale`).toBe(true)
    },
  )
})

/** PowerShell with its strings and comments taken out: what is left are its words and brackets. */
function withoutStrings(script: string): string {
  const string = /'(?:[^']|'')*'|"(?:[^"`]|`.)*"|#.*/g
  return script.replace(string, (found) => (found.startsWith('#') ? '' : 'STRING'))
}

/** Whether every bracket closes the one that was opened last. */
function balanced(text: string): boolean {
  const open: string[] = []
  for (const [bracket] of text.matchAll(/[()[\]{}]/g)) {
    if ('([{'.includes(bracket)) open.push(bracket)
    else if (`${open.pop()}${bracket}`.match(/^(\(\)|\[\]|\{\})$/) === null) return false
  }
  return open.length === 0
}

describe('the script for PowerShell', () => {
  const script = readFileSync(join(ROOT, 'completions/jit.ps1'), 'utf8')

  it('closes what it opens', () => {
    const words = withoutStrings(script)
    expect(words).not.toMatch(/['"]/)
    expect(balanced(words)).toBe(true)
    expect(balanced(`${words}}`)).toBe(false)
  })

  it('evaluates nothing that was answered', () => {
    expect(script).not.toMatch(/Invoke-Expression|\biex\b|ExpandString|ScriptBlock\]::Create/)
  })

  it('keeps descriptions within single quotes, whatever they say', () => {
    const hostile = 'it\'s $(Remove-Item x) `$x "y"'
    const node: CommandNode = {
      path: ['a'],
      description: hostile,
      usage: '',
      group: '',
      flags: [],
      arguments: [],
      commands: [],
      wraps: false,
    }
    const made = pwshCompletion({ ...node, path: [], commands: [node] })
    expect(made).toContain("'a' = 'it''s $(Remove-Item x) `$x \"y\"'")
    expect(balanced(withoutStrings(made))).toBe(true)
  })
})
