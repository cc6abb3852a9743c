import type { Readable, Writable } from 'node:stream'
import type { Masker } from './masker.ts'

/** Milliseconds without another byte after which what is held back may be shown (`Masker.pause`). */
const PAUSE = 10

/**
 * What a command leaves running may hold its output open for ever. After its end its own last words are
 * in the pipe already: no more than this many bytes, and nothing that comes after a silence, in milliseconds.
 */
const LAST_WORDS = 1024 * 1024
const SILENCE = 100

export interface Forward {
  readonly source: Readable
  readonly sink: Writable
  /** Absent: nothing is masked. */
  readonly masker: Masker | undefined
  /** Resolves when the command has ended. */
  readonly ended: Promise<unknown>
}

/**
 * Passes a command's output on, masked, no faster than it is taken. When nobody takes it any more, the
 * command's next write fails, as it would without anybody between. Never throws.
 * @returns when all was written that was to be
 */
export async function forward({ source, sink, masker, ended }: Forward): Promise<void> {
  const closed = Promise.withResolvers<void>()
  const pause = setTimeout(() => pass(masker?.pause() ?? []), PAUSE)
  const pass = (parts: readonly Buffer[]) => {
    let open = true
    for (const part of parts) open = sink.write(part)
    if (open || source.destroyed || source.isPaused()) return
    source.pause()
    sink.once('drain', () => source.resume())
  }
  sink.on('error', () => source.destroy())
  source.on('data', (chunk: Buffer) => {
    pass(masker?.push(chunk) ?? [chunk])
    if (masker?.holds) pause.refresh()
  })
  source.on('error', () => {})
  source.on('close', () => closed.resolve())
  void ended.then(() => source.closed || endAfterLastWords(source))
  await closed.promise
  clearTimeout(pause)
  if (sink.writable) pass(masker?.end() ?? [])
  await flushed(sink)
}

/** Closes a source once its command's last words have come. */
function endAfterLastWords(source: Readable): void {
  let left = LAST_WORDS
  let heard = false
  // What has come meanwhile is read first: then none of it is lost to a loop that was busy.
  const listen = setTimeout(() => {
    heard = source.isPaused()
    setImmediate(() => (heard ? listen.refresh() : source.destroy()))
  }, SILENCE)
  source.on('data', (chunk: Buffer) => {
    heard = true
    left -= chunk.length
    if (left < 0) source.destroy()
    else listen.refresh()
  })
  source.once('close', () => clearTimeout(listen))
}

async function flushed(sink: Writable): Promise<void> {
  if (!sink.writable) return
  await new Promise<void>((resolve) => sink.write('', () => resolve()))
}
