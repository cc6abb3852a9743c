import { once } from 'node:events'
import { closeSync, writeSync } from 'node:fs'
import { PassThrough, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { forward } from '../../../src/run/masking/forwarding.ts'
import { Masker } from '../../../src/run/masking/masker.ts'
import { makePipes } from '../../../src/run/masking/pipes.ts'

const SECRET = 'T3b_Xk9-qLw27RzVdYh0mNfPcJsGa5EuK8oI1tM4xZA'

/** What a command writes, by a pipe, and what comes of it. */
async function stage(sink: Writable = new PassThrough()) {
  const [pipe] = (await makePipes(1)) ?? []
  const masker = Masker.for([SECRET])
  if (!pipe || !masker) throw new Error('no pipe')
  const command = Promise.withResolvers<void>()
  const seen: Buffer[] = []
  if (sink instanceof PassThrough) sink.on('data', (chunk: Buffer) => seen.push(chunk))
  const done = forward({ source: pipe.source, sink, masker, ended: command.promise })
  return {
    source: pipe.source,
    done,
    text: () => Buffer.concat(seen).toString(),
    write: (text: string) => writeSync(pipe.sink, text),
    close: () => closeSync(pipe.sink),
    end: command.resolve,
  }
}

describe('a command that writes to a pipe', () => {
  test('is read to its end, masked, however slowly it writes', async () => {
    const { write, close, done, text } = await stage()
    for (const part of [SECRET.slice(0, 20), SECRET.slice(20), ' and the rest']) {
      write(part)
      await delay(30)
    }
    close()
    await done
    expect(text()).toBe('[masked] and the rest')
  })

  test('shows a prompt that ends as a secret begins, without another byte', async () => {
    const sink = new PassThrough()
    const { write, close, done, text } = await stage(sink)
    write(`name? ${SECRET.slice(0, 2)}`)
    while (text() !== `name? ${SECRET.slice(0, 2)}`) await once(sink, 'data')
    close()
    await done
  })

  test('is not held open by what it leaves running, and its last words are all there', async () => {
    const { write, close, end, done, text } = await stage()
    write('x'.repeat(60_000))
    end()
    await done
    expect(text()).toHaveLength(60_000)
    close()
  })

  test('is not followed for ever, either, where what it leaves running goes on writing', async () => {
    const { write, close, end, done } = await stage()
    end()
    const writing = setInterval(() => write('more\n'), 5)
    const endless = setInterval(() => write('x'.repeat(60_000)), 1)
    await expect(
      done.finally(() => {
        clearInterval(writing)
        clearInterval(endless)
        close()
      }),
    ).resolves.toBeUndefined()
  })

  test('writes no faster than what it writes is taken, and loses nothing', async () => {
    const taken: (() => void)[] = []
    let length = 0
    const slow = new Writable({
      highWaterMark: 1,
      write(chunk: Buffer, _, callback) {
        length += chunk.length
        taken.push(callback)
      },
    })
    const { source, write, close, end, done } = await stage(slow)
    write('x'.repeat(60_000))
    while (taken.length === 0) await delay(1)
    expect(source.isPaused()).toBe(true)
    write('x'.repeat(60_000))
    close()
    end()
    await delay(250)
    expect(source.destroyed).toBe(false)
    const drain = setInterval(() => taken.shift()?.(), 1)
    await done
    clearInterval(drain)
    expect(length).toBe(120_000)
  })

  test('finds its pipe closed once nobody takes what it writes', async () => {
    const broken = new Writable({ write: (_, __, callback) => callback(new Error('EPIPE')) })
    const { source, write, close, done } = await stage(broken)
    write('anything')
    await done
    expect(source.destroyed).toBe(true)
    expect(() => write('more')).toThrow('EPIPE')
    close()
  })
})
