import { expect, test } from 'vitest'
import type { VerifiedIdentity } from '../../src/broker/identity.ts'
import { latestSignIn } from '../../src/broker/session-sign-in.ts'

const HELD = { authenticated_at: 1_000_000, acr: 'urn:mfa', amr: '["hwk"]', nonce: 'request' }

/** What an identity token says of the sign-in; the rest doesn't matter here. */
const saying = (claims: Partial<VerifiedIdentity>) => claims as VerifiedIdentity

test('a newer sign-in takes the place of an older one, with all that it says and nothing else', () => {
  expect(latestSignIn(HELD, saying({ authTime: 1001, amr: ['pwd'] }))).toEqual({
    authenticated_at: 1_001_000,
    acr: '',
    amr: '["pwd"]',
    nonce: '',
  })
})

test('an older sign-in takes nothing from a newer one', () => {
  const older = saying({ authTime: 999, acr: 'urn:other', amr: ['pwd'], nonce: 'another' })
  expect(latestSignIn(HELD, older)).toEqual(HELD)
})

test('a renewed token of the same sign-in may leave things out, the nonce above all', () => {
  expect(latestSignIn(HELD, saying({ authTime: 1000 }))).toEqual(HELD)
  expect(latestSignIn(HELD, saying({ authTime: 1000, acr: 'urn:hw' }))).toMatchObject({
    acr: 'urn:hw',
    nonce: 'request',
  })
})

test('a token that says nothing of when changes nothing', () => {
  expect(latestSignIn(HELD, saying({ acr: 'urn:hw', nonce: 'another' }))).toEqual(HELD)
})

test('where the provider never says when, the last token counts', () => {
  const held = { ...HELD, authenticated_at: null }
  const said = saying({ acr: 'urn:hw', nonce: 'another' })
  expect(latestSignIn(held, said)).toMatchObject({ acr: 'urn:hw', nonce: 'another' })
  expect(latestSignIn(held, saying({ authTime: 1 }))).toMatchObject({ authenticated_at: 1000 })
})
