import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import type { SandboxOptions } from '../../src/cli/commands/sandbox.ts'
import { configFile } from '../../src/cli/config.ts'
import type { Deps } from '../../src/cli/deps.ts'
import { chosenSettings } from '../../src/cli/sandbox-settings.ts'
import { pathsFrom } from '../../src/lib/paths.ts'
import { temporaryFolder } from '../folder.ts'

const CONFIG = `sandbox:
  profiles:
    claude:
      domains: [api.anthropic.com, cdn.packages.dev]
      readable: [~/notes, /opt/tools]
      writable: [~/scratch]
      hidden: [~/notes/private]
      environment: [ANTHROPIC_API_KEY]
      environments: [dev]
      tasks: [plan, deploy]
      ttl: 1h
    bare: {}
`

const profileWith = (key: string, path: string) =>
  `sandbox: { profiles: { claude: { ${key}: ['${path}'] } } }\n`

let home: string
let repository: string
beforeEach(() => {
  home = temporaryFolder('settings')
  repository = join(home, 'shop')
  mkdirSync(repository)
  const paths = pathsFrom({ HOME: home })
  mkdirSync(paths.config, { recursive: true })
  writeFileSync(configFile(paths), CONFIG)
})

const settings = (options: Partial<SandboxOptions>, config = home) =>
  chosenSettings(
    { command: ['claude'], ...options },
    {
      root: repository,
      deps: {
        env: { HOME: home },
        cwd: repository,
        paths: pathsFrom({ HOME: config }),
      } as unknown as Deps,
    },
  )

describe('what a sandbox is given', () => {
  it('is the profile that is named like the command', async () => {
    expect(await settings({ command: ['/usr/bin/claude', '--resume'] })).toEqual({
      name: 'claude',
      domains: ['api.anthropic.com', 'cdn.packages.dev'],
      profile: {
        readable: [join(home, 'notes'), '/opt/tools'],
        writable: [join(home, 'scratch')],
        hidden: [join(home, 'notes/private')],
        readOnly: [],
        environment: ['ANTHROPIC_API_KEY'],
      },
      limits: {
        ceiling: { environments: ['dev'], tasks: ['plan', 'deploy'] },
        expiresIn: 3600,
      },
    })
  })

  it('is nothing for a command that no profile is named like', async () => {
    const nothing = {
      name: '',
      domains: [],
      profile: { readable: [], writable: [], hidden: [], readOnly: [], environment: [] },
      limits: { ceiling: {}, expiresIn: undefined },
    }
    expect(await settings({ command: ['sh'] })).toEqual(nothing)
    expect(await settings({ command: ['toString'] })).toEqual(nothing)
    expect(await settings({}, temporaryFolder('settings'))).toEqual(nothing)
  })

  it('is asked for with less by flags, each in the place of its list', async () => {
    const { limits } = await settings({ task: ['plan'], target: ['dev-db'], ttl: '5m' })
    expect(limits).toEqual({
      ceiling: { environments: ['dev'], tasks: ['plan'], targets: ['dev-db'] },
      expiresIn: 300,
    })
  })

  it('is never what this program keeps for itself, whatever a profile names', async () => {
    const { config, data, cache, runtime } = pathsFrom({ HOME: home })
    mkdirSync(join(data, 'keystore'), { recursive: true })
    symlinkSync(data, join(home, 'innocent'))
    const named = [config, `${data}/keystore`, cache, runtime, `${home}/x/../.config/jit/`]
    for (const path of [...named, join(home, 'innocent')]) {
      for (const key of ['readable', 'writable']) {
        writeFileSync(configFile({ config, data, cache, runtime }), profileWith(key, path))
        await expect(settings({})).rejects.toThrow(/no sandbox is given/)
      }
    }
    writeFileSync(
      configFile({ config, data, cache, runtime }),
      profileWith('readable', '~/.config'),
    )
    expect((await settings({})).profile.readable).toEqual([join(home, '.config')])
  })

  it('is less what the repository takes away', async () => {
    const file = 'version: 1\nsandbox: { hidden: [keys], domains: [cdn.packages.dev, evil.dev] }\n'
    writeFileSync(join(repository, '.jit.yaml'), file)
    const { domains, profile } = await settings({})
    expect(domains).toEqual(['cdn.packages.dev'])
    expect(profile.hidden).toEqual([join(home, 'notes/private'), join(repository, 'keys')])
  })

  it('is an error for a profile that isn’t there, naming those that are', async () => {
    await expect(settings({ profile: 'claud' })).rejects.toMatchObject({
      code: 'usage',
      hint: 'expected one of: claude, bare',
    })
  })

  it('is an error for a name that can be none', async () => {
    await expect(settings({ task: ['Plan!'] })).rejects.toMatchObject({ code: 'usage' })
  })
})
