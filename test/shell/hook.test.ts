import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { hookScript } from '../../src/shell/hook.ts'
import { promptLine } from '../../src/shell/prompt.ts'
import { heldGrants } from '../../src/shell/prompt-grants.ts'
import { absent } from '../absent.ts'
import { Runtime, SHELLS, self } from './hooked.ts'
import { parsePowerShell } from './powershell.ts'

let runtime: Runtime

beforeEach(() => {
  runtime = new Runtime()
})
afterEach(() => runtime[Symbol.dispose]())

/** What a terminal obeys, taken away: colours, and readline's marks around them. */
const ESC = '\u001b'
const bare = (prompt: string) =>
  prompt.replaceAll(new RegExp(`${ESC}\\[[\\d;]*m|${ESC}\\(B|[\\u0001\\u0002]`, 'g'), '')

const planned = { environment: 'dev', tier: 'development', task: 'plan' } as const

describe.each(SHELLS.map((shell) => [shell] as const))('%s', (shell) => {
  const here = test.skipIf(absent(shell))

  here('a grant stands before the prompt, in the colour of its tier', () => {
    const seen = (tier: string) => {
      runtime.hold('g_a', { tier })
      return runtime.shown(shell)
    }
    for (const [tier, colour] of [
      ['production', '31'],
      ['staging', '33'],
      ['development', '32'],
    ] as const) {
      const { text, prompt } = seen(tier)
      expect(text).toBe('prod:deploy 12m')
      expect(bare(prompt)).toBe('prod:deploy 12m > ')
      expect(prompt.replaceAll('\u0002', '')).toContain(`${ESC}[${colour}mprod:deploy 12m`)
    }
    expect(seen('laboratory').prompt).not.toContain(ESC)
  })

  here('no colour with NO_COLOR, nor on a terminal that has none', () => {
    runtime.hold('g_a')
    for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
      expect(runtime.shown(shell, '', env).prompt).toBe('prod:deploy 12m > ')
    }
  })

  here('the last two minutes are told, and then it is gone', () => {
    runtime.hold('g_a', { left: 121 })
    expect(runtime.shown(shell).text).toMatch(/^prod:deploy (2m|ends in 120s)$/)
    runtime.hold('g_a', { left: 90 })
    const { text, prompt } = runtime.shown(shell)
    expect(text).toMatch(/^prod:deploy ends in (91|90|89)s$/)
    expect(prompt).toMatch(new RegExp(`${ESC}\\[(1;)?7[;m]`))
    runtime.hold('g_a', { left: -2 })
    expect(runtime.shown(shell)).toEqual({ text: '', prompt: '> ' })
  })

  here('of many, the one lived in is first, then production; three are shown', () => {
    for (let at = 0; at < 17; at += 1) runtime.hold(`g_dev${at}`, { ...planned, left: 7265 + at })
    runtime.hold('g_prod', { left: 3605, agent: 'claude' })
    runtime.hold('g_mine', { ...planned, environment: 'lab', left: 9005 })
    runtime.hold('g_first', { ...planned, left: 605 })
    const env = { ...runtime.env, JIT_GRANT: 'g_mine' }
    const expected = 'lab:plan 2h30m prod:deploy 1h0m (claude) dev:plan 10m +17'
    expect(runtime.shown(shell, '', env).text).toBe(expected)
    const grants = heldGrants({ env, now: Date.now() })
    expect(promptLine(grants, { format: 'plain', colours: false })).toBe(expected)
  })

  here(
    'what a kill -9 left is not shown: its process is gone, or another one of its number',
    () => {
      runtime.hold('g_a', { holder: { pid: 2 ** 22 + 1, started: '1' } })
      runtime.hold('g_b', { holder: { pid: process.pid, started: '1' } })
      runtime.hold('g_c', { holder: { pid: 2 ** 22 + 1, started: undefined } })
      expect(runtime.shown(shell).text).toBe('')
      runtime.hold('g_d', { holder: { pid: process.pid, started: undefined } })
      expect(runtime.shown(shell).text).toBe('prod:deploy 12m')
    },
  )

  here('nothing in a marker is run, obeyed by the terminal, or shown unless it is a name', () => {
    const owned = join(runtime.directory, 'owned')
    for (const [at, line] of hostileLines(`touch ${owned}`).entries()) {
      runtime.leave(`g_${at}`, line)
    }
    expect(runtime.shown(shell)).toEqual({ text: '', prompt: '> ' })
    expect(heldGrants({ env: runtime.env, now: Date.now() })).toEqual([])
    runtime.hold('g_good')
    expect(bare(runtime.shown(shell).prompt)).toBe('prod:deploy 12m > ')
    expect(existsSync(owned)).toBe(false)
  })

  here('nor in its name, nor is anything but a file of this user read', () => {
    const owned = join(runtime.directory, 'owned')
    const good = readFileSync(runtime.hold('g_good'), 'utf8')
    const names = ['$(touch owned)', '`touch owned`', 'a b', '-n', '*', "'", `x[$(touch owned)]`]
    for (const name of [...names, `${ESC}]0;owned\u0007`, 'new\nline', '%n', '\\u']) {
      runtime.leave(name, good)
    }
    symlinkSync(join(runtime.grants, 'g_good'), join(runtime.grants, 'g_link'))
    mkdirSync(join(runtime.grants, 'g_folder'))
    execFileSync('mkfifo', [join(runtime.grants, 'g_fifo')])
    // `-n` is a name that `jit` could have given.
    expect(bare(runtime.shown(shell).prompt)).toBe('prod:deploy 12m prod:deploy 12m > ')
    expect(existsSync(owned)).toBe(false)
  })

  here('a byte that ends strings shows nothing but names, either', () => {
    runtime.leave(
      'g_a',
      readFileSync(runtime.hold('g_a'), 'utf8').replace('rod', `\u0000$(touch owned)`),
    )
    runtime.leave('g_b', readFileSync(runtime.hold('g_b'), 'utf8').replace('rod', 'r\u0000od'))
    expect(runtime.shown(shell).text).toMatch(/^(prod:deploy 12m)?$/)
    expect(existsSync(join(runtime.directory, 'owned'))).toBe(false)
  })

  here('a folder that a link leads to is not read', () => {
    const other = new Runtime()
    other.hold('g_a')
    symlinkSync(join(other.directory, 'run'), join(runtime.directory, 'elsewhere'))
    mkdirSync(join(runtime.directory, 'linked/jit'), { recursive: true })
    symlinkSync(other.grants, join(runtime.directory, 'linked/jit/grants'))
    const XDG_RUNTIME_DIR = join(runtime.directory, 'linked')
    expect(runtime.shown(shell, '', { XDG_RUNTIME_DIR }).text).toBe('')
    other[Symbol.dispose]()
  })

  here('what jit left where XDG_RUNTIME_DIR is not set is found, too', () => {
    const uid = process.getuid?.()
    const folder = join(runtime.directory, `jit-${uid}/jit/grants`)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const line = readFileSync(runtime.hold('g_a'), 'utf8')
    writeFileSync(join(folder, 'g_a'), line)
    // Once, where both are.
    expect(runtime.shown(shell).text).toBe('prod:deploy 12m')
    expect(runtime.shown(shell, '', { XDG_RUNTIME_DIR: 'relative' }).text).toBe('prod:deploy 12m')
  })

  here('the prompt comes back as it was, however often it was shown', () => {
    const file = runtime.hold('g_a')
    const again = shell === 'fish' ? 'emit fish_prompt' : '__jit_hook; __jit_hook'
    expect(bare(runtime.shown(shell, again).prompt)).toBe('prod:deploy 12m > ')
    expect(runtime.shown(shell, `${again}; rm ${file}`).prompt).toBe('> ')
  })
})

/** A space that doesn't end a field. */
const IFS = '$' + '{IFS}'

/** Lines that a careless hook would run, print or calculate with. */
function hostileLines(command: string): string[] {
  const { pid, started } = self()
  const good = ['9999999999', 'prod', 'production', 'deploy', String(pid), `${started}`, '-']
  const evil = [
    `$(${command})`.replaceAll(' ', IFS),
    `\`${command}\``.replaceAll(' ', IFS),
    `x[$(${command})]`.replaceAll(' ', IFS),
    `a[0$(${command})]`,
    `${ESC}[31m${ESC}]0;owned\u0007`,
    '\\[\\e[31m\\]',
    '%F{red}%n',
    '\\u',
    '\u202eprod',
    'a'.repeat(64),
    '*',
    '-e',
    '',
  ]
  const replaced = good.flatMap((_, at) =>
    evil.map((field) => `${good.with(at, field).join(' ')}\n`),
  )
  const line = good.join(' ')
  return [...replaced, `${line} more\n`, '\n', '', `${'9'.repeat(600)}\n`]
}

describe.skipIf(absent('bash'))('bash', () => {
  test('in either form of PROMPT_COMMAND, once and last', () => {
    const last = 'eval "$HOOK"; eval "$HOOK"; declare -p PROMPT_COMMAND'
    const after = (before: string) =>
      execFileSync('bash', ['--norc', '-c', `${before}; ${last}`], {
        env: { ...runtime.env, HOOK: hookScript('bash', { prompt: true }) },
        encoding: 'utf8',
      }).trim()
    expect(after('PROMPT_COMMAND=(one two)')).toBe(
      'declare -a PROMPT_COMMAND=([0]="one" [1]="two" [2]="__jit_hook")',
    )
    expect(after('PROMPT_COMMAND="one; two;"')).toBe(
      "declare -- PROMPT_COMMAND=$'one; two;\\n__jit_hook'",
    )
    expect(after('unset PROMPT_COMMAND')).toBe('declare -- PROMPT_COMMAND="__jit_hook"')
  })

  test('$? is kept, and options of the person neither break it nor are changed', () => {
    runtime.hold('g_a')
    const options = 'set -uf; shopt -s failglob nocasematch dotglob; IFS=0'
    const same = 'before=$(shopt; set +o); (exit 7) || __jit_hook; echo "[$?]"'
    const out = runtime.run(
      'bash',
      `${options}; ${same}; [[ $before == "$(shopt; set +o)" ]] && echo same; echo "$JIT_PROMPT"`,
    )
    expect(out).toBe('[7]\nsame\nprod:deploy 12m\n')
    expect(runtime.run('bash', 'set -e; (exit 7) || __jit_hook; echo "[$?] $JIT_PROMPT"')).toBe(
      '[0] prod:deploy 12m\n',
    )
  })

  test('without promptvars, and behind the lines that a prompt begins with', () => {
    const file = runtime.hold('g_a')
    const { prompt } = runtime.shown('bash', `PS1='\\n\\n$ '; shopt -u promptvars`)
    expect(bare(prompt)).toBe('\n\nprod:deploy 12m $ ')
    const gone = `PS1='\\n$ '; shopt -u promptvars; __jit_hook; rm ${file}`
    expect(runtime.shown('bash', gone).prompt).toBe('\n$ ')
  })
})

describe.skipIf(absent('zsh'))('zsh', () => {
  test('options of the person neither break it nor are changed', () => {
    runtime.hold('g_a')
    const options = 'setopt no_unset err_exit ksh_arrays sh_word_split prompt_subst no_glob'
    const same = 'before=$(setopt); __jit_hook; [[ $before == "$(setopt)" ]] && echo same'
    const out = runtime.run('zsh', `${options}; ${same}; echo "$JIT_PROMPT"`)
    expect(out).toBe('same\nprod:deploy 12m\n')
  })

  test('RPROMPT stays as it is, and so do hooks that others set', () => {
    runtime.hold('g_a')
    const others = 'RPROMPT=right; mine() { :; }; precmd_functions+=(mine); __jit_hook'
    expect(runtime.run('zsh', `${others}; echo $RPROMPT $precmd_functions`)).toBe(
      'right mine __jit_hook\n',
    )
  })
})

test.each(SHELLS.map((shell) => [shell] as const))(
  '%s: with --no-prompt only JIT_PROMPT is kept',
  (shell) => {
    if (absent(shell)) return
    runtime.hold('g_a')
    const HOOK = hookScript(shell, { prompt: false })
    const show = runtime.shown(shell, '', { HOOK })
    expect(show).toEqual({ text: 'prod:deploy 12m', prompt: '> ' })
  },
)

test('PowerShell: the script is PowerShell by its grammar, and evaluates nothing that it has read', () => {
  for (const prompt of [true, false]) {
    const script = hookScript('pwsh', { prompt })
    const { mistakes, calls } = parsePowerShell(script)
    expect(mistakes).toEqual([])
    // The prompt that was there, and who the user is, where no variable says so.
    const others = calls.filter((name) => !/^[A-Z][A-Za-z]+-[A-Z][A-Za-z]+$/.test(name))
    expect(others).toEqual(['$global:__jit_prompt', 'id'])
    expect(calls).not.toContain('Invoke-Expression')
    expect(script).not.toMatch(/ExpandString|ScriptBlock\]::Create/i)
  }
})
