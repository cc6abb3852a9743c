import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { absent } from '../absent.ts'
import { Screen } from '../run/screen.ts'
import { BASH_COMPLETION, COMPLETIONS, ShellHome } from './shells.ts'

let home: ShellHome
beforeAll(() => {
  home = new ShellHome()
})
afterAll(() => home[Symbol.dispose]())

/** The prompt that a shell shows once it reads keys as they come. */
const READY = /now> /

/** What Tab offers in each shell for a command line as it was typed so far. */
const OFFERED: readonly [line: string, offered: readonly string[]][] = [
  ['jit ex', ['exec']],
  ['jit exec --no', ['--no-wait']],
  ['jit exec --env ', ['dev', 'prod']],
  ['jit exec --env p', ['prod']],
  ['jit exec --env dev --task ', ['deploy', 'plan']],
  ['jit exec --mask ', ['always', 'auto', 'never']],
  ['jit exec --label ', ['model=']],
  ['jit exec sh', ['ship']],
  ['jit policy ch', ['check']],
  ['jit policy check --st', ['--strict']],
  ['jit show ', ['g_01', 'g_02']],
  ['jit revoke g_01 ', ['g_01', 'g_02']],
  ['jit completion ', ['bash', 'fish', 'pwsh', 'zsh']],
  ['jit help appr', ['approve']],
  ['jit exec --receipt /etc/hostn', ['/etc/hostname']],
]

describe.skipIf(absent('bash'))('in bash', () => {
  const script = join(COMPLETIONS, 'jit.bash')

  /** The candidates, by bash's own way of calling a completion function. */
  function completed(words: readonly string[], before = ''): string[] {
    const quoted = words.map((word) => `'${word}'`).join(' ')
    return home.lines(
      ['bash', '--norc', '--noprofile', '-u'],
      `source ${script}; ${before}
       COMP_WORDS=(${quoted}) COMP_CWORD=${words.length - 1} COMP_LINE='${words.join(' ')}'
       COMP_POINT=\${#COMP_LINE}
       _jit; printf '%s\\n' "\${COMPREPLY[@]-}"`,
    )
  }

  const values = OFFERED.filter(([line]) => !line.includes('/'))
  test.each(values)('%j + Tab is %j', (line, offered) => {
    expect(completed(line.split(' ')).sort()).toEqual(offered)
  })

  test('a value behind = is found whether = breaks words or not', () => {
    expect(completed(['jit', 'exec', '--env', '=', 'p'])).toEqual(['prod'])
    expect(completed(['jit', 'exec', '--env', '='])).toEqual(['dev', 'prod'])
    expect(completed(['jit', 'exec', '--env=p'])).toEqual(['--env=prod'])
    expect(home.asked).toContain('__complete environments exec')
  })

  test('what is typed before tells what is asked', () => {
    completed(['jit', 'exec', '--env', '=', 'prod', '--task', ''])
    expect(home.asked.at(-1)).toBe('__complete tasks exec --env=prod --task')
  })

  test('after -- the command completes as itself, without the package bash-completion', () => {
    const foo = '_foo() { COMPREPLY=("$COMP_CWORD $COMP_LINE"); }; complete -F _foo foo'
    expect(completed(['jit', 'exec', '--', 'foo', 'ba'], foo)).toEqual(['1 foo ba'])
    expect(completed(['jit', 'exec', '--env', 'dev', '--', 'printen'])).toContain('printenv')
    expect(completed(['jit', 'grants', '--', 'foo', 'ba'], foo)).not.toContain('1 foo ba')
  })

  test.skipIf(!existsSync(BASH_COMPLETION) && !process.env.CI)(
    'after -- the command completes as itself, with the package bash-completion',
    () => {
      const before = `set +u; source ${BASH_COMPLETION}`
      expect(completed(['jit', 'exec', '--', 'ls', '--colo'], before).join(' ')).toContain(
        '--color',
      )
    },
  )

  test('a real Tab lists grants with what they are, and evaluates none of it', async () => {
    const setup = `bind 'set show-all-if-ambiguous on'; source ${script}; PS1='now> '`
    writeFileSync(join(home.directory, 'rc'), setup)
    const screen = new Screen(home, ['bash', '--noprofile', '--rcfile', 'rc', '-i'])
    await screen.shows(READY)
    screen.type('jit show \t')
    await screen.shows(/g_02 {2}plan in dev/)
    screen.type('\u0015exit\n')
    await screen.ended
    expect(stripVTControlCharacters(screen.text)).toContain('g_01  $(touch pwned)')
    expect(stripVTControlCharacters(screen.text)).not.toContain('trouble')
    expect(home.pwned).toBe(false)
  })
})

describe.skipIf(absent('fish'))('in fish', () => {
  const completed = (line: string) =>
    home
      .lines(['fish'], `source ${COMPLETIONS}/jit.fish; complete -C '${line}'`)
      .map((found) => found.split('\t'))

  test.each(OFFERED)('%j + Tab is %j', (line, offered) => {
    expect(completed(line).map(([value]) => value)).toEqual(offered)
  })

  test('values have descriptions, and none is evaluated', () => {
    expect(completed('jit exec --env=')).toEqual([
      ['--env=dev', 'development'],
      ['--env=prod', expect.stringContaining('$(touch pwned)')],
    ])
    expect(home.pwned).toBe(false)
  })

  test('after -- the command completes as itself', () => {
    expect(completed('jit exec --env dev -- ls --colo').flat()).toContain('--color')
    expect(completed('jit exec -- jit exec --en').flat()).toContain('--env')
  })
})

describe.skipIf(absent('zsh'))('in zsh', () => {
  let screen: Screen

  beforeAll(async () => {
    // What a key does is over when the next one is read: ^G says what is typed by then.
    const setup = [
      `fpath=(${COMPLETIONS} $fpath)`,
      'autoload -Uz compinit && compinit -D -u',
      'said() { print -r -- "<<$BUFFER>>"; BUFFER= }; zle -N said; bindkey "^G" said',
      'LISTMAX=1000; unsetopt beep; setopt list_rows_first no_auto_menu',
      "PS1='now> '",
    ]
    writeFileSync(join(home.directory, '.zshrc'), setup.join('\n'))
    screen = new Screen(home, ['zsh', '-d', '-i'])
    await screen.shows(READY)
  })
  afterAll(async () => {
    screen.type('\u0015exit\n')
    await screen.ended
  })

  /** What the line is after these keys, and all that was shown meanwhile. */
  async function completed(line: string, keys = '\t'): Promise<{ line: string; shown: string }> {
    screen.text = ''
    screen.type(`${line}${keys}\u0007`)
    await screen.shows(/<<[^"]*>>/)
    const shown = stripVTControlCharacters(screen.text)
    return { line: /<<(.*)>>/.exec(shown)?.[1]?.trimEnd() ?? '', shown }
  }

  const single = OFFERED.filter(([line, { length }]) => length === 1 && !line.includes('sh'))
  test.each(single)('%j + Tab is %j', async (line, [offered]) => {
    const found = await completed(line)
    expect(found.line).toBe(`${line.slice(0, line.lastIndexOf(' '))} ${offered}`)
  })

  const several = OFFERED.filter(([, { length }]) => length > 1)
  test.each(several)('%j + Tab lists %j', async (line, offered) => {
    const { shown } = await completed(line, '\t\t')
    for (const value of offered) expect(shown).toContain(value)
  })

  test('values have descriptions, and none is evaluated', async () => {
    const { shown } = await completed('jit show ', '\t\t')
    expect(shown).toContain('-- $(touch pwned)')
    expect(shown).not.toContain('a;b')
    expect(home.pwned).toBe(false)
  })

  test('after -- the command completes as itself', async () => {
    expect((await completed('jit exec --env dev -- jit exec --no')).line).toBe(
      'jit exec --env dev -- jit exec --no-wait',
    )
  })

  test('evaluating the script does as well as a file in fpath', async () => {
    const { shown } = await completed(`source ${COMPLETIONS}/_jit; print -r -- $_comps[jit]`)
    expect(shown).not.toContain('error')
  })
})
