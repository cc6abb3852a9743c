import { execFile } from 'node:child_process'
import { readdirSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeEach, expect, test } from 'vitest'
import { lastSeen, rememberSeen } from '../../src/client/seen.ts'
import { temporaryFolder } from '../folder.ts'

const BROKER = 'https://jit.example'
const MODULE = new URL('../../src/client/seen.ts', import.meta.url).href
let data: string
beforeEach(() => {
  data = temporaryFolder('seen')
})

const see = (seq: number, broker = BROKER) =>
  rememberSeen(data, { broker, position: { seq, hash: `h${seq}` } })

test('the furthest place of each broker is kept, and nothing else', () => {
  see(5)
  see(3)
  see(10)
  see(9, 'https://other.example')
  expect(lastSeen(data, BROKER)).toEqual({ seq: 10, hash: 'h10' })
  expect(lastSeen(data, 'https://other.example')).toEqual({ seq: 9, hash: 'h9' })
  expect(lastSeen(data, 'https://new.example')).toBeUndefined()
  expect(readdirSync(join(data, 'seen'))).toHaveLength(2)
})

test('of many processes at once, the one that was told of the furthest place wins', async () => {
  const writer = `const { rememberSeen } = await import(${JSON.stringify(MODULE)})
    const [data, first] = process.argv.slice(1)
    for (let seq = Number(first); seq <= 800; seq += 4)
      rememberSeen(data, { broker: '${BROKER}', position: { seq, hash: 'h' + seq } })`
  const flags = ['--input-type=module', '-e', writer, '--', data]
  const run = promisify(execFile)
  await Promise.all([1, 2, 3, 4].map((first) => run(process.execPath, [...flags, String(first)])))
  expect(lastSeen(data, BROKER)).toEqual({ seq: 800, hash: 'h800' })
  expect(readdirSync(join(data, 'seen'))).toHaveLength(1)
})

test('a file that says nothing is passed over, and the next place is kept', () => {
  see(1)
  const [name = ''] = readdirSync(join(data, 'seen'))
  truncateSync(join(data, 'seen', name))
  expect(lastSeen(data, BROKER)).toBeUndefined()
  see(2)
  expect(lastSeen(data, BROKER)?.seq).toBe(2)
})
