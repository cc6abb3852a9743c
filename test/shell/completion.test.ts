import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { madeOfCommands } from '../../scripts/made-of-commands.ts'
import type { CommandNode } from '../../src/shell/command-tree.ts'
import { pwshCompletion } from '../../src/shell/completion-pwsh.ts'
import { ROOT } from '../docs/pages.ts'
import { parsePowerShell } from './powershell.ts'

describe('what is made of the command tree', () => {
  it.each(Object.entries(madeOfCommands()))(
    '%s is what npm run build makes of the commands as they are',
    (file, text) => {
      expect(readFileSync(join(ROOT, file), 'utf8') === text, `${file} is stale`).toBe(true)
    },
  )
})

describe('the script for PowerShell', () => {
  const script = readFileSync(join(ROOT, 'completions/jit.ps1'), 'utf8')

  it('is PowerShell by its grammar', () => {
    expect(parsePowerShell(script).mistakes).toEqual([])
    expect(parsePowerShell(`${script}}`).mistakes).not.toEqual([])
  })

  it('calls what it names and nothing else: no answer is evaluated', () => {
    expect(parsePowerShell(script).calls).toEqual([
      '$program',
      'ForEach-Object',
      'Get-Command',
      'Register-ArgumentCompleter',
      'Select-Object',
      'Where-Object',
    ])
    expect(script).not.toMatch(/ExpandString|ScriptBlock\]::Create/)
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
    expect(parsePowerShell(made).mistakes).toEqual([])
    expect(parsePowerShell(made).calls).not.toContain('Remove-Item')
  })
})
