import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { normaliseRemote } from '../../src/context/remote-url.ts'

describe('one repository has one name', () => {
  it.each([
    'git@github.com:Acme/shop.git',
    'github.com:Acme/shop',
    'git@github.com:/Acme/shop.git',
    'ssh://git@github.com/Acme/shop.git',
    'ssh://git@github.com:22/Acme/shop',
    'git+ssh://git@github.com/Acme/shop',
    'https://github.com/Acme/shop.git',
    'https://github.com/Acme/shop.git/',
    'https://GitHub.com:443/Acme//shop',
    'HTTPS://github.com./Acme/shop',
    'https://user:token@github.com/Acme/shop.git',
    'https://user:p@ss@github.com/Acme/shop.git',
    'https://github.com/Acme/shop?token=secret#x',
    'http://github.com:80/Acme/shop',
    'git://github.com/Acme/shop.git',
  ])('%s', (remote) => {
    expect(normaliseRemote(remote)).toBe('github.com/Acme/shop')
  })

  it.each([
    ['ssh://git@git.acme.dev:7999/team/shop.git', 'git.acme.dev:7999/team/shop'],
    ['https://gitlab.com/group/sub/shop', 'gitlab.com/group/sub/shop'],
    ['https://[::1]:8443/acme/shop', '[::1]:8443/acme/shop'],
    ['git@[::1]:acme/shop.git', '[::1]/acme/shop'],
    ['https://example.com/shop', 'example.com/shop'],
    ['me@example.com:~me/shop.git', 'example.com/~me/shop'],
  ])('%s is %s', (remote, name) => {
    expect(normaliseRemote(remote)).toBe(name)
  })

  it.each([
    '',
    '/srv/git/shop.git',
    './shop',
    '../shop',
    '~/shop',
    'shop',
    'C:\\shop',
    'C:/shop',
    'file:///srv/shop.git',
    'https://',
    'https:///acme/shop',
    'https://github.com',
    'github.com:',
    'https://github.com/acme/../evil',
    'https://github.com/acme/.git',
    'ext::sh -c evil',
    'https://github.com/a b',
    'https://github.com/a\nb',
    'https://github.com/a\u202eb',
    'javascript://x/y',
    'https://github.com:x/acme/shop',
    'https://gith\u0443b.com/acme/shop',
    `https://a.b/${'x'.repeat(600)}`,
  ])('%j has none', (remote) => {
    expect(normaliseRemote(remote)).toBe('')
  })

  it('never throws, never shows a credential, and normalising again changes nothing', () => {
    const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/)
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.webUrl()), (text) => {
        const name = normaliseRemote(text)
        if (name !== '') expect(normaliseRemote(`https://${name}`)).toBe(name)
      }),
    )
    fc.assert(
      fc.property(word, word, word, (owner, name, secret) => {
        const plain = normaliseRemote(`https://example.com/${owner}/${name}`)
        expect(normaliseRemote(`https://u:S${secret}@example.com/${owner}/${name}`)).toBe(plain)
      }),
    )
  })

  it('takes long nonsense without getting slow', () => {
    const before = process.cpuUsage()
    for (const part of ['@', ':', '/', '[', 'a.', '//', '@:'])
      normaliseRemote(`https://${part.repeat(50_000)}`)
    for (const part of ['.git', '.', '.git/', './'])
      normaliseRemote(`https://a/${part.repeat(200_000)}x`)
    normaliseRemote(`https://${'.'.repeat(500_000)}a/x`)
    for (const part of ['@', ':', '[', ']', 'a:']) normaliseRemote(part.repeat(50_000))
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(2000)
  })
})
