import { expect, test } from 'vitest'
import { withOneInMemory } from '../../src/keystore/in-memory.ts'
import { memoryKeystore } from '../../src/keystore/memory.ts'

test('one entry stays in memory, all others are where they were', async () => {
  const rest = memoryKeystore()
  await rest.set('person', 'theirs')
  await rest.set('agent', 'one that was stored')
  const keystore = withOneInMemory('agent', rest)
  expect(await keystore.get('agent')).toBeUndefined()
  await keystore.set('agent', 'secret')
  await keystore.set('person', 'renewed')
  expect(await keystore.get('agent')).toBe('secret')
  expect(await rest.get('agent')).toBe('one that was stored')
  expect(await rest.get('person')).toBe('renewed')
  await keystore.delete('agent')
  expect(await rest.get('agent')).toBe('one that was stored')
})
