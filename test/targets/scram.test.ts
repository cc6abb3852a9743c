import { expect, test } from 'vitest'
import { newPassword, scramVerifier } from '../../src/targets/postgres/scram.ts'

test('a verifier is what PostgreSQL itself stores for the password', async () => {
  // SELECT rolpassword, of a role created by PostgreSQL 18 from the plain password 'pencil'
  const stored =
    'SCRAM-SHA-256$4096:3a53zK0Q6auBD4OtMfRDqQ==$Uu7pcpADpgAlfC7XSMt7HgPjr5wdv/qguWSHLnAfTO0=:E1MpSj8G1BGTIFjHerBkG/3ehfnrFRdu7GNfT88gTg4='
  const salt = Buffer.from(stored.split('$')[1]?.split(':')[1] ?? '', 'base64')
  expect(await scramVerifier('pencil', salt)).toBe(stored)
})

test('two verifiers of one password differ, as each has its own salt', async () => {
  expect(await scramVerifier('pencil')).not.toBe(await scramVerifier('pencil'))
})

test('a password has 256 bits and only characters that need no quoting in a URL', () => {
  expect(newPassword()).toMatch(/^[A-Za-z0-9_-]{43}$/)
})
