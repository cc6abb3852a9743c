import { type FileHandle, open } from 'node:fs/promises'
import { JitError } from '../lib/errors.ts'
import { reasonOf } from '../lib/http.ts'

/** Where exported lines go. */
export interface ExportSink {
  /** As errors name it. */
  readonly name: string
  /** Resolves once the lines, each with its end, are safely there. @throws JitError `export_failed`, SinkBusy */
  take(lines: string): Promise<void>
}

/** It may take them later. */
export class SinkBusy extends JitError {
  constructor(message: string, cause?: unknown) {
    super('export_failed', message, { cause })
  }
}

const TIMEOUT_MS = 30_000
/** How much of a file's end is read at once, to find its last whole line. */
const TAIL_BYTES = 64 * 1024

/** A file that lines are added to, made for its owner alone; opened anew each time, so that it may be rotated. */
export function fileSink(path: string): ExportSink {
  return {
    name: path,
    async take(lines) {
      try {
        await using file = await open(path, 'a+', 0o600)
        if (!(await file.stat()).isFile()) throw new JitError('usage', `${path} is not a file`)
        await cutHalfLine(file)
        await file.appendFile(lines)
        await file.datasync()
      } catch (cause) {
        if (cause instanceof JitError) throw cause
        const { code = 'unknown error' } = cause as NodeJS.ErrnoException
        const message = `${path}: can't be written (${code})`
        if (code === 'ENOSPC' || code === 'EIO') throw new SinkBusy(message, cause)
        throw new JitError('export_failed', message, { cause })
      }
    },
  }
}

/** A process that died while it wrote may have left half a line: its entry is written again, whole. */
async function cutHalfLine(file: FileHandle): Promise<void> {
  const { size } = await file.stat()
  let end = size
  while (end > 0) {
    const start = Math.max(0, end - TAIL_BYTES)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(end - start), 0, end - start, start)
    const newline = buffer.subarray(0, bytesRead).lastIndexOf(0x0a)
    if (newline >= 0) {
      if (start + newline + 1 < size) await file.truncate(start + newline + 1)
      return
    }
    end = start
  }
  if (size > 0) await file.truncate(0)
}

/**
 * An endpoint that lines are posted to as `application/x-ndjson`. Anything but 2xx means that nothing was
 * taken; redirects are not followed, for the headers are meant for this address.
 */
export function httpSink(
  url: URL,
  { headers, signal }: { headers: Readonly<Record<string, string>>; signal: AbortSignal },
): ExportSink {
  const name = `${url.origin}${url.pathname}`
  return {
    name,
    async take(body) {
      let status: number
      try {
        const answer = await fetch(url, {
          method: 'POST',
          headers: { ...headers, 'Content-Type': 'application/x-ndjson' },
          body,
          redirect: 'manual',
          signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
        })
        status = answer.status
        await answer.body?.cancel()
      } catch (cause) {
        if (signal.aborted) throw new JitError('cancelled', 'cancelled', { cause })
        const { cause: inner = cause } = cause as Error
        throw new SinkBusy(`${name}: ${reasonOf(inner)}`, cause)
      }
      if (status >= 200 && status < 300) return
      const message = `${name}: it answered ${status}`
      if (status === 408 || status === 429 || status >= 500) throw new SinkBusy(message)
      throw new JitError('export_failed', message)
    },
  }
}
