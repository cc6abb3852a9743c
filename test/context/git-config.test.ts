import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseGitConfig, remoteNames } from '../../src/context/git-config.ts'
import { temporaryFolder } from '../folder.ts'
import { git, write } from './repositories.ts'

const TRICKY = `# comment
[core]
	fileMode = false ; and more
	bare
[remote "origin"] url = https://example.com/a.git # inline
[Remote "with \\"quotes\\" and \\\\"]
	URL = "https://example.com/# not a comment"  
	fetch = a\\
b
[remote "spaces"]
	url =   one   two   
[remote "empty"]
	url =
[branch "feature/x.y"]
	remote = origin
	merge = refs/heads/\\"x\\"\\t
[old.Style]
	key = 1
`

describe('a git configuration', () => {
  it('is read as git reads it', () => {
    const folder = temporaryFolder('context')
    write(folder, { config: TRICKY })
    const config = parseGitConfig(TRICKY)
    for (const key of [
      'core.filemode',
      'remote.origin.url',
      'remote.with "quotes" and \\.url',
      'remote.with "quotes" and \\.fetch',
      'remote.empty.url',
      'branch.feature/x.y.remote',
      'old.style.key',
    ]) {
      expect(config.get(key)).toBe(git(folder, 'config', '-f', 'config', '--get', key))
    }
    expect(config.get('remote.spaces.url')).toMatch(/^one +two$/)
    expect(config.get('core.bare')).toBe('true')
    expect(config.get('branch.feature/x.y.merge')).toBe('refs/heads/"x"\t')
    expect(remoteNames(config)).toEqual(['origin', 'with "quotes" and \\', 'spaces', 'empty'])
  })

  it.each([
    ['a section that is never closed', `[a${' '.repeat(1_000_000)}`],
    ['a value that goes on and on', `[a]\nk = ${'x\\\n'.repeat(300_000)}`],
    ['nothing but backslashes', '\\'.repeat(1_000_000)],
  ])('of %s is read in time', (_, text) => {
    const before = process.cpuUsage()
    parseGitConfig(text)
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(2000)
  })

  it('never throws, whatever the text', () => {
    const piece = fc.constantFrom(
      '[',
      ']',
      '"',
      '\\',
      '\n',
      '=',
      'remote',
      ' ',
      'url',
      '#',
      ';',
      'x',
      '\0',
      '\r',
    )
    fc.assert(
      fc.property(
        fc.array(piece).map((parts) => parts.join('')),
        (text) => {
          expect(parseGitConfig(text)).toBeInstanceOf(Map)
        },
      ),
    )
  })
})
