import { once } from 'node:events'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type AuditExport, exportLog } from '../../src/client/audit-export.ts'
import { ExportCursor } from '../../src/client/export-cursor.ts'
import { fileSink, httpSink } from '../../src/client/export-sink.ts'
import { JitError } from '../../src/lib/errors.ts'
import type { AuditEntry, AuditPage } from '../../src/protocol/audit.ts'
import { signedLogs } from './signed-logs.ts'

const BROKER = 'https://jit.test'
const PAGE = 3
const { keys, log, headOf } = await signedLogs()

let folder: string
let file: string
let server: Server | undefined
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'jit-export-'))
  file = join(folder, 'audit.jsonl')
})
afterEach(() => {
  server?.close()
  server = undefined
  rmSync(folder, { recursive: true })
})

/** A broker's pages of a log, as it is when they are asked for. */
const pagesOf =
  (entries: readonly AuditEntry[]) =>
  async (after: number): Promise<AuditPage> => {
    const rest = entries.filter(({ seq }) => seq > after)
    const page = rest.slice(0, PAGE)
    const last = page.at(-1)
    const next = rest.length > PAGE && last ? { next: last.seq } : {}
    return { entries: page, ...next, head: await headOf(entries) }
  }

function job(entries: readonly AuditEntry[], more: Partial<AuditExport> = {}): AuditExport {
  return {
    page: pagesOf(entries),
    keys: async () => keys,
    sink: fileSink(file),
    cursor: new ExportCursor(`${file}.cursor`, BROKER),
    seen: undefined,
    follow: false,
    signal: new AbortController().signal,
    again: () => {},
    taken: () => {},
    ...more,
  }
}

const exported = () =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => (JSON.parse(line) as AuditEntry).seq)

describe('to a file', () => {
  test('every entry is a line, and the next export adds what is new', async () => {
    const entries = log(8)
    expect(await exportLog(job(entries.slice(0, 5)))).toBe(5)
    expect(await exportLog(job(entries))).toBe(3)
    expect(await exportLog(job(entries))).toBe(0)
    expect(exported()).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  test('half a line of a process that died is cut, and its entry is there whole', async () => {
    const entries = log(4)
    await exportLog(job(entries.slice(0, 2)))
    appendFileSync(file, JSON.stringify(entries[2]).slice(0, 40))
    await exportLog(job(entries))
    expect(exported()).toEqual([1, 2, 3, 4])
  })

  test('what was written and not counted is there twice, never less than once', async () => {
    const entries = log(4)
    const cursor = new ExportCursor(`${file}.cursor`, BROKER)
    const died = Object.assign(Object.create(cursor), {
      read: () => cursor.read(),
      keep() {
        throw new Error('killed')
      },
    })
    await expect(exportLog(job(entries, { cursor: died }))).rejects.toThrow('killed')
    await exportLog(job(entries))
    expect(exported()).toEqual([1, 2, 3, 1, 2, 3, 4])
  })

  test('what goes on while it follows is added until it is told to stop', async () => {
    const entries = log(7)
    const shown: AuditEntry[] = entries.slice(0, 2)
    const stop = new AbortController()
    const following = exportLog(
      job(shown, {
        follow: true,
        signal: stop.signal,
        taken: ({ seq }) => {
          if (seq === 2) shown.push(...entries.slice(2))
          if (seq === 7) stop.abort()
        },
      }),
    )
    await expect(following).rejects.toThrow()
    expect(exported()).toEqual([1, 2, 3, 4, 5, 6, 7])
  })
})

describe('a log that does not hold together is not handed on from there', () => {
  const broken: [string, (entries: AuditEntry[]) => AuditEntry[], number[]][] = [
    ['an entry changed', (all) => all.with(4, { ...all[4], event: 'x' } as AuditEntry), [1, 2, 3]],
    ['an entry taken out', (all) => all.toSpliced(4, 1), [1, 2, 3]],
    ['the first page exchanged', (all) => all.with(0, { ...all[0], at: 'x' } as AuditEntry), []],
  ]
  test.each(broken)('%s', async (_, change, there) => {
    writeFileSync(file, '')
    const exporting = exportLog(job(change(log(6))))
    await expect(exporting).rejects.toMatchObject({ code: 'export_failed' })
    expect(exported()).toEqual(there)
  })

  test('one that was cut behind what was exported', async () => {
    const entries = log(5)
    await exportLog(job(entries))
    const cut = exportLog(job(entries.slice(0, 3)))
    await expect(cut).rejects.toThrow('the head names entry 3, the log ends with entry 5')
  })

  test('one that does not continue what was exported', async () => {
    await exportLog(job(log(3)))
    const other = log(6).map((entry, at) => (at === 3 ? { ...entry, prev: 'f'.repeat(64) } : entry))
    await expect(exportLog(job(other))).rejects.toThrow('entry 4 does not continue')
  })

  test('one whose head another key signed', async () => {
    const others = await signedLogs()
    const exporting = exportLog(job(log(2), { keys: async () => others.keys }))
    await expect(exporting).rejects.toThrow("the head's signature is not the broker's")
  })
})

test('a cursor of another broker is not gone on with', async () => {
  await exportLog(job(log(2)))
  const cursor = new ExportCursor(`${file}.cursor`, 'https://other.test')
  await expect(exportLog(job(log(3), { cursor }))).rejects.toThrow('of the log of https://jit.test')
})

describe('to an endpoint', () => {
  /** Answers with these, then with 204; what it was sent. */
  async function endpoint(statuses: number[]) {
    const bodies: string[] = []
    const headers: unknown[] = []
    server = createServer(async (request, response) => {
      const status = statuses.shift() ?? 204
      const body = await text(request)
      if (status < 300) bodies.push(body)
      headers.push(request.headers.authorization)
      response.writeHead(status, { location: 'http://127.0.0.1:1/' }).end()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const { signal } = new AbortController()
    const url = new URL(`http://127.0.0.1:${port}/ingest?key=hidden`)
    const sink = httpSink(url, { headers: { Authorization: 'Bearer t' }, signal })
    return { bodies, headers, sink }
  }
  const seqs = (bodies: string[]) =>
    bodies.map((body) =>
      body
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).seq),
    )

  test('pages are posted one after the other, with the headers; what is busy gets the page again', async () => {
    const { bodies, headers, sink } = await endpoint([503, 204, 429])
    const said: string[] = []
    await exportLog(job(log(4), { sink, again: ({ message }) => said.push(message) }))
    expect(seqs(bodies)).toEqual([[1, 2, 3], [4]])
    expect(new Set(headers)).toEqual(new Set(['Bearer t']))
    expect(said.map((message) => message.replace(/.*: /, ''))).toEqual([
      'it answered 503',
      'it answered 429',
    ])
    expect(said.join()).not.toContain('hidden')
  })

  test.each([400, 401, 302])('%i ends it at once, and nothing counts as taken', async (status) => {
    const { bodies, sink } = await endpoint([status])
    const exporting = exportLog(job(log(2), { sink }))
    await expect(exporting).rejects.toMatchObject({ code: 'export_failed' })
    expect(bodies).toEqual([])
    expect(new ExportCursor(`${file}.cursor`, BROKER).read()).toBeUndefined()
  })

  test('a broker that is out of reach for a while is asked on', async () => {
    const entries = log(2)
    let down = 1
    const page = async (after: number) => {
      if (down-- > 0) throw new JitError('broker_unreachable', 'nothing listens there')
      return pagesOf(entries)(after)
    }
    expect(await exportLog(job(entries, { page }))).toBe(2)
  })
})
