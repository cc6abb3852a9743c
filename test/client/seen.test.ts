import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { lastSeen, rememberSeen } from '../../src/client/seen.ts'

const BROKER = 'https://jit.example'
let data: string
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'jit-seen-'))
})
afterEach(() => rmSync(data, { recursive: true }))

const see = (seq: number, broker = BROKER) =>
  rememberSeen(data, { broker, position: { seq, hash: `h${seq}` } })

test('the furthest place of each broker is kept', () => {
  see(5)
  see(3)
  see(9, 'https://other.example')
  expect(lastSeen(data, BROKER)).toEqual({ seq: 5, hash: 'h5' })
  expect(lastSeen(data, 'https://other.example')).toEqual({ seq: 9, hash: 'h9' })
  expect(lastSeen(data, 'https://new.example')).toBeUndefined()
})

test('a file that says nothing is begun anew', () => {
  writeFileSync(join(data, 'seen.json'), '{"half')
  expect(lastSeen(data, BROKER)).toBeUndefined()
  see(1)
  expect(lastSeen(data, BROKER)?.seq).toBe(1)
})
