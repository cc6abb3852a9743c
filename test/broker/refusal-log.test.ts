import { expect, test } from 'vitest'
import { RefusalLog } from '../../src/broker/refusal-log.ts'

const of = (host: string, count = 1) => ({ host, port: 443, count })

test('a minute has 60 entries; what came beside them is told as a sum when the next begins', () => {
  const log = new RefusalLog()
  const again = Array.from({ length: 100 }, () => of('a.example'))
  expect(log.take(again, 0)).toHaveLength(60)
  expect(log.take([of('a.example')], 59_999)).toEqual([])
  expect(log.take([of('a.example')], 60_000)).toEqual([{ more: 41 }, of('a.example')])
  expect(log.rest()).toEqual([])
})

test('hosts beyond the 64th are a sum, however long it takes; those before stay apart', () => {
  const log = new RefusalLog()
  let now = 0
  for (let name = 0; name < 64; name++) {
    now += 60_000
    expect(log.take([of(`h${name}.example`)], now)).toHaveLength(1)
  }
  now += 60_000
  expect(log.take([of('new.example', 7), of('h0.example'), of('', 3)], now)).toEqual([
    of('h0.example'),
  ])
  expect(log.rest()).toEqual([{ more: 10 }])
})
