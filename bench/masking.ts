import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, writeSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, type Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { forward } from '../src/run/masking/forwarding.ts'
import { Masker } from '../src/run/masking/masker.ts'
import { makePipes, type Pipe } from '../src/run/masking/pipes.ts'
import type { Figure } from './figure.ts'
import { median } from './statistics.ts'

/** What a grant of a database and an API has: a password and a token. */
const PASSWORD = randomBytes(32).toString('base64url')
const TOKEN = [36, 400, 64].map((size) => randomBytes(size).toString('base64url')).join('.')

const CHUNK = 64 * 1024
const BUDGET = 500

/** What is written; `near` is almost secrets, made to be looked at long. */
const TEXTS = {
  logs: lines(
    (at) =>
      `2026-11-22T20:${at % 60}:11.${at % 997}Z INFO [worker-${at % 7}] GET /v1/items/${at * 7919} 200 in ${at % 91} ms\n`,
  ),
  base64: Buffer.from(randomBytes(3 * 1024 * 1024).toString('base64')),
  near: lines((at) => `${at % 2 ? PASSWORD.slice(0, -1) : TOKEN.slice(0, -1)}?\n`),
}

function lines(line: (at: number) => string): Buffer {
  let text = ''
  for (let at = 0; text.length < 4 * 1024 * 1024; at += 1) text += line(at)
  return Buffer.from(text)
}

/** Masking's throughput, by itself and between two pipes' ends, and what it adds to a small write. */
export async function timeMasking(milliseconds: number): Promise<Figure[]> {
  const alone = Object.entries(TEXTS).map(([name, text]) => ({
    what: `masking, ${name}`,
    unit: 'MB/s' as const,
    measured: rateOf(text, { milliseconds, pass: maskWith(newMasker()) }),
    floor: rateOf(text, { milliseconds, pass: (chunk) => Buffer.from(chunk) }),
    floorIs: 'a copy',
    ...(name === 'near' ? {} : { budget: BUDGET }),
  }))
  return [...alone, await throughPipe(milliseconds), await smallWrite()]
}

function newMasker(): Masker {
  const masker = Masker.for([PASSWORD, TOKEN])
  if (!masker) throw new Error('nothing to mask')
  return masker
}

const maskWith = (masker: Masker) => (chunk: Buffer) => masker.push(chunk)

/** MB/s of what is passed on in chunks. */
function rateOf(
  text: Buffer,
  { milliseconds, pass }: { milliseconds: number; pass: (chunk: Buffer) => unknown },
): number {
  const round = () => {
    for (let at = 0; at < text.length; at += CHUNK) pass(text.subarray(at, at + CHUNK))
  }
  for (let warm = 0; warm < 10; warm += 1) round()
  const began = performance.now()
  let bytes = 0
  for (; performance.now() - began < milliseconds; bytes += text.length) round()
  return bytes / 1000 / (performance.now() - began)
}

/** How what is written to a pipe is passed on. */
type Way = (source: Readable, sink: Writable) => Promise<unknown>

const WAYS: { readonly plain: Way; readonly masked: Way } = {
  plain: (source, sink) => pipeline(source, sink),
  masked: (source, sink) =>
    forward({ source, sink, masker: newMasker(), ended: Promise.withResolvers().promise }),
}

async function throughPipe(milliseconds: number): Promise<Figure> {
  const folder = await mkdtemp(join(tmpdir(), 'jit-bench-'))
  try {
    const file = join(folder, 'logs')
    await writeFile(file, TEXTS.logs)
    const files = Array.from({ length: Math.ceil(milliseconds / 8) }, () => file)
    const rates: { plain: number[]; masked: number[] } = { plain: [], masked: [] }
    for (let run = 0; run < 3; run += 1) {
      for (const way of ['plain', 'masked'] as const) {
        rates[way].push(await pipeRate(files, WAYS[way]))
      }
    }
    const [measured, floor] = [median(rates.masked), median(rates.plain)]
    const what = 'masking, what cat writes'
    return { what, unit: 'MB/s', measured, floor, floorIs: 'plain pipe', budget: BUDGET }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** MB/s of files that `cat` writes to a pipe. */
async function pipeRate(files: readonly string[], way: Way): Promise<number> {
  const pipe = await newPipe()
  let bytes = 0
  const sink = new Writable({
    write(chunk: Buffer, _, written) {
      bytes += chunk.length
      written()
    },
  })
  const began = performance.now()
  spawn('cat', files, { stdio: ['ignore', pipe.sink, 'inherit'] })
  closeSync(pipe.sink)
  await way(pipe.source, sink)
  return bytes / 1000 / (performance.now() - began)
}

/** From a line's write to its coming out. */
async function smallWrite(): Promise<Figure> {
  const plain = await writeTimes(WAYS.plain)
  const masked = await writeTimes(WAYS.masked)
  const [measured, floor] = [median(masked), median(plain)]
  return { what: 'masking, a line', unit: 'ms', measured, floor, floorIs: 'plain pipe' }
}

async function writeTimes(way: Way): Promise<number[]> {
  const pipe = await newPipe()
  const sink = new PassThrough()
  const done = way(pipe.source, sink)
  const times: number[] = []
  for (let run = 0; run < 2000; run += 1) {
    const came = once(sink, 'data')
    const began = performance.now()
    writeSync(pipe.sink, 'Apply complete! Resources: 1 added, 0 changed, 0 destroyed.\n')
    await came
    times.push(performance.now() - began)
  }
  closeSync(pipe.sink)
  await done
  return times
}

async function newPipe(): Promise<Pipe> {
  const [pipe] = (await makePipes(1)) ?? []
  if (!pipe) throw new Error('no mkfifo')
  return pipe
}
