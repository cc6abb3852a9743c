import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { endOf } from '../../../src/run/masking/form-text.ts'
import { formsOf } from '../../../src/run/masking/forms.ts'
import { Masker } from '../../../src/run/masking/masker.ts'

const PASSWORD = 'T3b_Xk9-qLw27RzVdYh0mNfPcJsGa5EuK8oI1tM4xZA'
const TOKEN = `eyJhbGciOiJFUzI1NiJ9.${randomBytes(300).toString('base64url')}.${randomBytes(64).toString('base64url')}`
const AWKWARD = 'pä$s"w\\o/r<d>&\'% +=;\u2028end'
const MASK = '[masked]'

function maskerFor(...secrets: string[]): Masker {
  const masker = Masker.for(secrets)
  if (!masker) throw new Error('nothing to mask')
  return masker
}

/** What comes out when a text is written in these pieces. */
function masked(secrets: readonly string[], ...pieces: readonly (Buffer | string)[]): Buffer {
  const masker = maskerFor(...secrets)
  const out = pieces.flatMap((piece) => masker.push(Buffer.from(piece)))
  return Buffer.concat([...out, ...masker.end()])
}

function cutAt(text: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map((place) => place % (text.length + 1)))].sort((a, b) => a - b)
  return [0, ...at].map((from, index) => text.subarray(from, at[index] ?? text.length))
}

/** The same, slowly: looks for each form at each byte, and covers whatever belongs to one. */
function maskedSlowly(secrets: readonly string[], text: Buffer): Buffer {
  const forms = formsOf(secrets)
  const found = [...text.keys()].flatMap((start) =>
    forms.map((form) => ({ start, end: endOf(text, start, form) })).filter(({ end }) => end > 0),
  )
  const out: Buffer[] = []
  let done = 0
  for (const { start, end } of found.sort((a, b) => a.start - b.start)) {
    if (start >= done) out.push(text.subarray(done, start), Buffer.from(MASK))
    done = Math.max(done, end)
  }
  return Buffer.concat([...out, text.subarray(done)])
}

/** A text in which one stretch, and no other, is masked. */
const maskedBetween = (text: string, from: number, to: number) =>
  `${text.slice(0, from)}${MASK}${text.slice(to)}`

const around = fc.string({ maxLength: 9 })

describe('a secret is masked', () => {
  test.each([
    ['as it is', (s: string) => s],
    ['in JSON', (s: string) => JSON.stringify(s).slice(1, -1)],
    ['in JSON that is text in JSON', (s: string) => JSON.stringify(JSON.stringify(s)).slice(3, -3)],
    [
      'in JSON with slashes escaped',
      (s: string) => JSON.stringify(s).slice(1, -1).replaceAll('/', '\\/'),
    ],
    ['percent-encoded', encodeURIComponent],
    [
      'percent-encoded in small letters',
      (s: string) => encodeURIComponent(s).replace(/%../g, (byte) => byte.toLowerCase()),
    ],
    [
      'as the password of a URL',
      (s: string) => Object.assign(new URL('http://h'), { password: s }).password,
    ],
    ['in a form', (s: string) => String(new URLSearchParams({ s })).slice(2)],
    ['in hex', (s: string) => Buffer.from(s).toString('hex')],
    ['in capital hex', (s: string) => Buffer.from(s).toString('hex').toUpperCase()],
  ])('%s, between anything', (_, write) => {
    const property = fc.property(
      fc.constantFrom(PASSWORD, TOKEN, AWKWARD),
      around,
      around,
      (s, before, after) => {
        const written = write(s)
        const text = before + written + after
        const expected = maskedBetween(text, before.length, before.length + written.length)
        expect(masked([s], text).toString()).toBe(expected)
      },
    )
    fc.assert(property)
  })

  test.each(['base64', 'base64url'] as const)(
    'in %s of it and of anything around it',
    (encoding) => {
      const property = fc.property(
        fc.constantFrom(PASSWORD, TOKEN, AWKWARD),
        around,
        around,
        (s, before, after) => {
          const text = Buffer.from(before + s + after).toString(encoding)
          const first = Buffer.byteLength(before)
          // All but the characters that hold bits of both the secret and its neighbours.
          const from = Math.ceil((first * 8) / 6)
          const to = Math.floor(((first + Buffer.byteLength(s)) * 8) / 6)
          expect(masked([s], text).toString()).toBe(maskedBetween(text, from, to))
        },
      )
      fc.assert(property)
    },
  )

  test.each([60, 64, 76])('in base64 and hex in lines of %i', (width) => {
    const property = fc.property(
      fc.constantFrom(PASSWORD, TOKEN),
      fc.string({ maxLength: 100 }),
      fc.constantFrom('base64', 'hex'),
      fc.constantFrom('\n', '\r\n'),
      (s, before, encoding, newline) => {
        const plain = Buffer.from(`${before}${s}`).toString(encoding)
        const lines = plain.match(new RegExp(`.{1,${width}}`, 'g')) ?? []
        const out = masked([s], lines.join(newline)).toString()
        expect(out.endsWith(MASK) || out.slice(out.lastIndexOf(MASK)).length < 16).toBe(true)
        expect(plain.startsWith(out.split(MASK)[0]?.replaceAll(newline, '') ?? '?')).toBe(true)
        expect(out.split(MASK)).toHaveLength(2)
      },
    )
    fc.assert(property)
  })

  test('in a URL to connect to, as part of it', () => {
    const url = `postgres://j1:${PASSWORD}@db.internal:5432/shop?sslmode=verify-full`
    expect(masked([PASSWORD], url).toString()).toBe(
      'postgres://j1:[masked]@db.internal:5432/shop?sslmode=verify-full',
    )
  })

  test('and so is one that another begins with or ends in: nothing of either is left', () => {
    const [short, long, later] = ['abcdefgh', 'abcdefghijklmnop', 'mnopqrstuvwx'] as const
    const mask = (text: string) => masked([short, long, later], text).toString()
    expect(mask(`1 ${long} 2`)).toBe('1 [masked] 2')
    expect(mask(`1 ${short}ijkl 2`)).toBe('1 [masked]ijkl 2')
    expect(mask('1 abcdefghijklmnopqrstuvwx 2')).toBe('1 [masked] 2')
    expect(mask(`${short}${short}`)).toBe('[masked][masked]')
  })

  test('among bytes that are no text', () => {
    const noise = randomBytes(100_000)
    const text = Buffer.concat([noise, Buffer.from(PASSWORD), noise])
    expect(masked([PASSWORD], text)).toEqual(Buffer.concat([noise, Buffer.from(MASK), noise]))
  })
})

describe('whatever is written', () => {
  /** Bytes of few kinds, so that secrets and their beginnings come about by chance. */
  const letters = (length: { minLength: number; maxLength: number }) =>
    fc.array(fc.constantFrom(...'aab/'), length).map((characters) => characters.join(''))
  const secret = letters({ minLength: 8, maxLength: 70 })

  /** A secret in some form, perhaps broken in lines, and perhaps not all of it. */
  const written = (secrets: readonly string[]) =>
    fc
      .record({
        text: fc.constantFrom(...secrets),
        encoding: fc.constantFrom('utf8', 'base64', 'hex'),
        width: fc.constantFrom(Infinity, 60, 64, 76),
        newline: fc.constantFrom('\n', '\r\n'),
        cut: fc.constantFrom(0, 1, 9),
      })
      .map(({ text, encoding, width, newline, cut }) => {
        const encoded = Buffer.from(text).toString(encoding as BufferEncoding)
        const characters = [...encoded].slice(0, encoded.length - cut)
        return characters.map((one, at) => (at % width === 5 ? newline : '') + one).join('')
      })

  const secretsInText = fc.array(secret, { minLength: 1, maxLength: 3 }).chain((secrets) =>
    fc.tuple(
      fc.constant(secrets),
      fc.array(fc.oneof(letters({ minLength: 0, maxLength: 9 }), written(secrets)), {
        maxLength: 8,
      }),
    ),
  )

  test('comes out the same however it is cut, and as it would if each byte were looked at', () => {
    const places = fc.array(fc.nat(2000), { maxLength: 60 })
    const property = fc.property(secretsInText, places, ([secrets, parts], cuts) => {
      const text = Buffer.from(parts.join(''))
      const whole = masked(secrets, text)
      expect(whole).toEqual(maskedSlowly(secrets, text))
      expect(masked(secrets, ...cutAt(text, cuts))).toEqual(whole)
    })
    fc.assert(property, { numRuns: 300 })
  })

  test('comes out the same in single bytes, in every form', () => {
    const forms = [PASSWORD, TOKEN, AWKWARD].flatMap((secret) => [
      secret,
      JSON.stringify({ secret }),
      encodeURIComponent(secret),
      Buffer.from(`user:${secret}`).toString('base64'),
      Buffer.from(secret).toString('hex').replace(/.{60}/g, '$&\n'),
    ])
    const text = Buffer.from(forms.map((form) => `${form.slice(0, -1)} ${form}\r\n`).join(''))
    const secrets = [PASSWORD, TOKEN, AWKWARD]
    const whole = masked(secrets, text)
    expect(masked(secrets, ...[...text].map((byte) => Buffer.of(byte)))).toEqual(whole)
    expect(whole.toString().split(MASK).length).toBeGreaterThan(forms.length)
  })

  test('is byte for byte the same where there is no secret in it', () => {
    const property = fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.array(fc.nat(300), { maxLength: 20 }),
      fc.nat(PASSWORD.length - 1),
      (bytes, places, length) => {
        const text = Buffer.concat([bytes, Buffer.from(`${PASSWORD.slice(0, length)}?`), bytes])
        expect(masked([PASSWORD, TOKEN], ...cutAt(text, places))).toEqual(text)
      },
    )
    fc.assert(property)
  })
})

describe('what is held back', () => {
  test('is nothing, unless it may begin a secret', () => {
    const masker = maskerFor(PASSWORD)
    expect(Buffer.concat(masker.push(Buffer.from('Password: '))).toString()).toBe('Password: ')
    expect(Buffer.concat(masker.push(Buffer.from(`=${PASSWORD.slice(0, 9)}`))).toString()).toBe('=')
    expect(Buffer.concat(masker.push(Buffer.from('!'))).toString()).toBe(`${PASSWORD.slice(0, 9)}!`)
  })

  test('is never more than the longest form, whatever is written', () => {
    const endless = 'a'.repeat(40)
    const masker = maskerFor(endless)
    for (const piece of ['a', 'aaa', 'a'.repeat(39), 'a'.repeat(100_000)]) {
      const out = Buffer.concat(masker.push(Buffer.from(piece)))
      expect(out.length).toBeLessThanOrEqual(MASK.length)
    }
    const most = Buffer.concat(
      maskerFor(endless).push(Buffer.from(`${'a'.repeat(39)}b`.repeat(999))),
    )
    expect(most.length).toBeGreaterThan(40 * 999 - 100)
  })

  test('comes at a pause where it is a few bytes, once, and the rest is masked all the same', () => {
    const masker = maskerFor(PASSWORD)
    expect(masker.push(Buffer.from(PASSWORD.slice(0, 4)))).toEqual([])
    expect(masker.holds).toBe(true)
    expect(Buffer.concat(masker.pause()).toString()).toBe(PASSWORD.slice(0, 4))
    expect(masker.holds).toBe(false)
    expect(masker.pause()).toEqual([])
    const rest = [...masker.push(Buffer.from(`${PASSWORD.slice(4)}.`)), ...masker.end()]
    expect(Buffer.concat(rest).toString()).toBe(`${MASK}.`)
  })

  test('stays where it is more: a secret in drips, with pauses, gives away no more than its beginning', () => {
    const property = fc.property(
      fc.constantFrom(PASSWORD, TOKEN),
      fc.array(fc.nat(PASSWORD.length), { maxLength: 30 }),
      (secret, places) => {
        const masker = maskerFor(secret)
        const drips = cutAt(Buffer.from(secret), places)
        const out = drips.flatMap((drip) => [...masker.push(drip), ...masker.pause()])
        const shown = Buffer.concat([...out, ...masker.end()]).toString()
        expect(shown.endsWith(MASK)).toBe(true)
        expect(shown.length).toBeLessThanOrEqual(4 + MASK.length)
      },
    )
    fc.assert(property)
  })

  test('a short secret gives away no more than an eighth', () => {
    const masker = maskerFor('hunter2!')
    masker.push(Buffer.from('h'))
    expect(Buffer.concat(masker.pause()).toString()).toBe('h')
    masker.push(Buffer.from('u'))
    expect(masker.pause()).toEqual([])
  })
})

test('secrets of less than eight bytes are left as they are', () => {
  expect(Masker.for(['hunter2', ''])).toBeUndefined()
  expect(masked(['hunter2', 'hunter23'], 'hunter2 hunter23').toString()).toBe('hunter2 [masked]')
})

test('a megabyte in single bytes, almost secrets all of them, takes seconds', () => {
  const masker = maskerFor(PASSWORD, TOKEN)
  const near = Buffer.from(`${PASSWORD.slice(0, -1)}?${TOKEN.slice(0, 60)}`)
  let length = 0
  const began = performance.now()
  for (let at = 0; at < 1_000_000; at += 1) {
    const byte = near.subarray(at % near.length, (at % near.length) + 1)
    for (const part of masker.push(byte)) length += part.length
  }
  expect(length).toBeGreaterThan(999_000)
  expect(performance.now() - began).toBeLessThan(15_000)
})
