import type { DeliveredCredential } from '../../protocol/lifeline.ts'
import { Masker } from '../../run/masking/masker.ts'
import { BoundedText } from './bounded-text.ts'

/** Variables that only say what a credential is for, or whose it is; any other may be the secret. */
const PLAIN = /^(?:PG(?:HOST|PORT|DATABASE|SSLMODE)|JIT_GRANT|JIT_GRANT_EXPIRES_AT|JIT_AGENT)$/

const STREAMS = ['stdout', 'stderr'] as const
type Stream = (typeof STREAMS)[number]

/** What a command wrote, masked before anything of it is kept. */
export class Output {
  readonly #texts = { stdout: new BoundedText(), stderr: new BoundedText() }
  #maskers: Partial<Record<Stream, Masker | undefined>> = {}

  /**
   * From now on these are masked.
   * @param given the variables that the command has because of them
   */
  hide(credentials: readonly DeliveredCredential[], given: Readonly<Record<string, string>>): void {
    const secrets = secretsOf(credentials, given)
    this.#maskers = { stdout: Masker.for(secrets), stderr: Masker.for(secrets) }
  }

  add(stream: Stream, chunk: Buffer): void {
    this.#keep(stream, this.#maskers[stream]?.push(chunk) ?? [chunk])
  }

  /** Bytes so far. */
  get size(): number {
    return this.#texts.stdout.total + this.#texts.stderr.total
  }

  /** When nothing will follow. */
  read() {
    for (const stream of STREAMS) this.#keep(stream, this.#maskers[stream]?.end() ?? [])
    const [stdout, stderr] = [this.#texts.stdout.read(), this.#texts.stderr.read()]
    return {
      stdout: stdout.text,
      stderr: stderr.text,
      ...(stdout.omitted > 0 ? { stdout_omitted_bytes: stdout.omitted } : {}),
      ...(stderr.omitted > 0 ? { stderr_omitted_bytes: stderr.omitted } : {}),
    }
  }

  #keep(stream: Stream, parts: readonly Buffer[]): void {
    for (const part of parts) this.#texts[stream].add(part)
  }
}

/** What of a credential nobody may read: with whoever runs its proxy, and in what a command is given. */
function secretsOf(
  credentials: readonly DeliveredCredential[],
  given: Readonly<Record<string, string>>,
): string[] {
  const upstream = credentials.flatMap(({ upstream: held }) => {
    if (!held) return []
    return [held.kind === 'postgres' ? held.password : held.token]
  })
  const values = Object.entries(given).filter(([name]) => !PLAIN.test(name))
  return [...upstream, ...values.flatMap(([, value]) => secretsIn(value))]
}

/** Of a URL its password, and the whole where it holds one; anything else as it is. */
function secretsIn(value: string): string[] {
  if (!URL.canParse(value)) return [value]
  const { password, protocol } = new URL(value)
  if (password !== '') return [value, decodeURIComponent(password)]
  return /^https?:$/.test(protocol) ? [] : [value]
}
