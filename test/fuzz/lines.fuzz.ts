import fc from 'fast-check'
import { expect, test } from 'vitest'
import { brokerUrl } from '../../src/auth/discovery.ts'
import { fitsCommand } from '../../src/context/command-pattern.ts'
import { normaliseRemote } from '../../src/context/remote-url.ts'
import { parseDuration } from '../../src/lib/duration.ts'
import { escapeForDisplay } from '../../src/lib/escape.ts'
import { formatMarkerLine, parseMarkerLine } from '../../src/lib/marker-line.ts'
import { mutatedText } from './mutations.ts'
import { holds, unlessRefused } from './property.ts'

test('a duration is seconds, or refused', async () => {
  await holds(mutatedText('15m', '1h30m', '2d', '90s'), async (text) => {
    const seconds = await unlessRefused(['usage'], () => parseDuration(text))
    if (seconds !== undefined) expect(Number.isSafeInteger(seconds) && seconds > 0).toBe(true)
  })
})

test("a broker's address is one name for it, or refused", async () => {
  const samples = ['https://jit.acme.dev/a', 'localhost:7420', 'http://[::1]:7420/', 'jit.acme.dev']
  await holds(mutatedText(...samples), async (text) => {
    const url = await unlessRefused(['usage'], () => brokerUrl(text))
    if (url !== undefined) expect(brokerUrl(url)).toBe(url)
  })
})

test('a remote is a name without credentials, or none', async () => {
  const samples = [
    'https://dana:hunter2@example.com:8443/acme/shop.git',
    'git@example.com:acme/shop.git',
    'ssh://git@[::1]:22/~/shop.git?x#y',
  ]
  await holds(mutatedText(...samples), (text) => {
    const name = normaliseRemote(text)
    expect(name.length).toBeLessThanOrEqual(512)
    expect(escapeForDisplay(name)).toBe(name)
    if (name !== '') expect(normaliseRemote(`https://${name}`)).not.toBe('')
  })
})

test('a line of the runtime directory is a grant as it was written, or none', async () => {
  const line = '1795348800 prod production deploy 4711 123456 claude\n'
  await holds(mutatedText(line, '1 dev development plan 1 - -\n'), (text) => {
    const grant = parseMarkerLine(text)
    if (!grant) return
    expect(parseMarkerLine(formatMarkerLine(grant))).toEqual(grant)
    expect(text.trimEnd()).toBe(escapeForDisplay(text.trimEnd()))
  })
})

test('a pattern of a command fits or does not', async () => {
  const commands = fc.array(mutatedText('terraform', 'apply', '-auto-approve'), { maxLength: 4 })
  await holds(
    fc.tuple(mutatedText('terraform apply *', '*a*b*c*'), commands),
    ([pattern, argv]) => {
      expect(typeof fitsCommand(pattern, argv)).toBe('boolean')
    },
  )
})

test('what is shown is escaped, and escaping it again changes nothing', async () => {
  await holds(mutatedText('plain text, naïve and 日本'), (text) => {
    const shown = escapeForDisplay(text)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(shown).not.toMatch(/[\0-\x1f\x7f-\x9f\u202a-\u202e]/)
    expect(escapeForDisplay(shown)).toBe(shown)
  })
})
