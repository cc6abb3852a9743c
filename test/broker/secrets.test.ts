import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Harness } from './harness.ts'

let harness: Harness

beforeEach(async () => {
  harness = await Harness.start()
})
afterEach(() => harness[Symbol.asyncDispose]())

describe('a credential says what is secret in it, for clients to mask', () => {
  test('that is the value itself', async () => {
    const { granted } = await (await harness.client()).grant()
    const [shop] = granted.credentials
    const { FAKE_SECRET } = shop?.env ?? {}
    expect(FAKE_SECRET).toMatch(/./)
    expect(shop?.secrets).toEqual([FAKE_SECRET])
  })

  test('and nothing of one that a proxy keeps', async () => {
    const { granted } = await (await harness.client()).grant({ delivery: 'proxy' })
    expect(granted.credentials[0]?.secrets).toEqual([])
  })
})
