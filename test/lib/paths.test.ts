import { expect, test } from 'vitest'
import { pathsFrom } from '../../src/lib/paths.ts'

test('directories are those of XDG, with jit under each', () => {
  expect(
    pathsFrom({
      HOME: '/home/dev',
      XDG_CONFIG_HOME: '/c',
      XDG_DATA_HOME: '/d',
      XDG_CACHE_HOME: '/k',
      XDG_RUNTIME_DIR: '/r',
    }),
  ).toEqual({ config: '/c/jit', data: '/d/jit', cache: '/k/jit', runtime: '/r/jit' })
})

test('unset or relative ones count as their default (XDG Base Directory Specification)', () => {
  const paths = pathsFrom({ HOME: '/home/dev', XDG_CONFIG_HOME: 'relative', XDG_DATA_HOME: '' })
  expect(paths.config).toBe('/home/dev/.config/jit')
  expect(paths.data).toBe('/home/dev/.local/share/jit')
  expect(paths.cache).toBe('/home/dev/.cache/jit')
})
