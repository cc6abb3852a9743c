import { expect, test } from 'vitest'
import { RefusalTally } from '../../src/client/refusal-tally.ts'

test('what is refused is counted by host and port until it is told', () => {
  const tally = new RefusalTally()
  tally.add([
    { host: 'a.example', port: 443, count: 1 },
    { host: 'a.example', port: 443, count: 2 },
    { host: 'a.example', port: 80, count: 1 },
  ])
  expect(tally.take()).toEqual([
    [
      { host: 'a.example', port: 443, count: 3 },
      { host: 'a.example', port: 80, count: 1 },
    ],
  ])
  expect(tally.take()).toEqual([])
})

test('a flood of names is one sum beside the first, in messages that the broker takes', () => {
  const tally = new RefusalTally()
  for (let name = 0; name < 10_000; name++) {
    tally.add([{ host: `h${name}.${'x'.repeat(300)}`, port: 1, count: 1 }])
  }
  const messages = tally.take()
  expect(messages.every((message) => message.length <= 32)).toBe(true)
  const all = messages.flat()
  expect(all).toHaveLength(129)
  expect(all.at(-1)).toEqual({ host: '', port: 0, count: 10_000 - 128 })
  expect(all.every(({ host }) => host.length <= 255)).toBe(true)
})
