import type { Requested } from '../../client/asking.ts'
import { formatDuration } from '../../lib/duration.ts'
import type { CommandOutcome } from '../../protocol/lifeline.ts'
import type { Child, ChildStart } from '../../run/child.ts'
import type { Finished, Progress, Stopped } from '../../run/elevated.ts'
import type { Answer } from './answer.ts'
import { BoundedText } from './bounded-text.ts'
import type { Call } from './call.ts'
import type { RunInput } from './input.ts'
import type { Patience } from './patience.ts'
import { waitingFor } from './pending.ts'
import { startPiped } from './piped-child.ts'
import { leasesOf, receiptLines } from './release.ts'

/** Milliseconds between two words of how far it is: a client may take silence for death. */
const SAY_EVERY = 5000

/** One command of a client, from its request to what is answered of it. */
export class Running implements Disposable {
  readonly #call: Call
  readonly #input: RunInput
  readonly #stdout = new BoundedText()
  readonly #stderr = new BoundedText()
  readonly #stop = new AbortController()
  readonly #cancel = () => this.#stop.abort()
  #saying: NodeJS.Timeout | undefined
  #limit: NodeJS.Timeout | undefined
  #timedOut = false
  #requested: Requested | undefined
  #started = 0

  constructor(call: Call, input: RunInput) {
    this.#call = call
    this.#input = input
    call.signal.addEventListener('abort', this.#cancel)
    if (call.signal.aborted) this.#cancel()
  }

  /** Aborted when the command is to be stopped. */
  get stop(): AbortSignal {
    return this.#stop.signal
  }

  /** The id of the request, once the broker has one. */
  get grant(): string | undefined {
    return this.#requested?.grant
  }

  [Symbol.dispose](): void {
    this.#call.signal.removeEventListener('abort', this.#cancel)
    clearInterval(this.#saying)
    clearTimeout(this.#limit)
  }

  async start(child: ChildStart): Promise<Child> {
    const [stdout, stderr] = [this.#stdout, this.#stderr]
    const started = await startPiped({ ...child, stdin: this.#input.stdin, stdout, stderr })
    const { clock } = this.#call.deps
    this.#started = clock.monotonic()
    this.#keepSaying(() => `running; ${this.#stdout.total + this.#stderr.total} bytes of output`)
    const { timeout_seconds: limit } = this.#input
    if (limit !== undefined) this.#limit = setTimeout(() => this.#expire(), limit * 1000)
    return started
  }

  /** What is told of it goes to whoever wants to know how far it is. */
  report(patience: Patience): Progress {
    const { progress } = this.#call
    return {
      requested: (requested) => {
        this.#requested = requested
        const { environment, task, targets } = requested
        progress(`${task} in ${environment}, asks for ${targets.join(', ')}`)
      },
      pending: (pending) => {
        patience.waits(pending)
        this.#keepSaying(() => waitingFor(pending))
      },
      approved: ({ approvals }) =>
        progress(`approved by ${approvals.map(({ approver }) => approver.name).join(', ')}`),
      lost: ({ message }) => progress(message),
      waited: () => clearInterval(this.#saying),
      withdrawn: () => {},
      granted: (granted) => {
        patience[Symbol.dispose]()
        progress(`granted until ${granted.expires_at}`)
      },
      unrenewable: () => {},
      renewalRefused: (error, expiresAt) => progress(`ends at ${expiresAt}: ${error.message}`),
      endsSoon: (expiresAt) => progress(`the command is stopped at ${expiresAt}`),
      stopping: () => progress('stopping the command'),
      releasing: () => {},
      survived: (pids) => progress(`could not end process ${pids.join(', ')}`),
    }
  }

  answer(finished: Finished): Answer {
    const { granted, outcome, stopped, release, releaseTook } = finished
    const { clock } = this.#call.deps
    const seconds = (clock.monotonic() - this.#started - releaseTook) / 1000
    const [stdout, stderr] = [this.#stdout.kept(), this.#stderr.kept()]
    const how = this.#howItEnded(stopped)
    const receipt = release.kind === 'released' ? release.receipt : undefined
    const given = receipt
      ? receiptLines(receipt, clock.now())
      : [`no receipt: the broker ends it by itself, at ${granted.expires_at} at the latest`]
    const took = formatDuration(Math.round(seconds))
    return {
      lines: [
        `${how.words}: ${endText(outcome)}, after ${took}; ${granted.grant}: ${given.join('; ')}`,
        ...section('stdout', stdout.text),
        ...section('stderr', stderr.text),
      ],
      data: {
        outcome: how.outcome,
        exit_code: outcome.code,
        signal: outcome.signal,
        ...(how.reason === undefined ? {} : { reason: how.reason }),
        stdout: stdout.text,
        stderr: stderr.text,
        ...(stdout.omitted > 0 ? { stdout_omitted_bytes: stdout.omitted } : {}),
        ...(stderr.omitted > 0 ? { stderr_omitted_bytes: stderr.omitted } : {}),
        seconds: Math.round(seconds * 10) / 10,
        grant: granted.grant,
        leases: receipt ? leasesOf(receipt) : [],
      },
      ...(stopped ? { failed: true } : {}),
    }
  }

  #howItEnded(stopped: Stopped | undefined): { outcome: string; words: string; reason?: string } {
    if (!stopped) return { outcome: 'exited', words: 'it ran to its end' }
    if (stopped.kind === 'cancelled') {
      const outcome = this.#timedOut ? 'timed_out' : 'cancelled'
      return { outcome, words: this.#timedOut ? 'stopped at timeout_seconds' : 'cancelled' }
    }
    const reason = endReason(stopped)
    return { outcome: 'access_ended', words: `stopped, because ${reason}`, reason }
  }

  #expire(): void {
    this.#timedOut = true
    this.#stop.abort()
  }

  #keepSaying(what: () => string): void {
    clearInterval(this.#saying)
    this.#call.progress(what())
    this.#saying = setInterval(() => this.#call.progress(what()), SAY_EVERY)
  }
}

function endReason(stopped: Exclude<Stopped, { kind: 'cancelled' }>): string {
  if (stopped.kind === 'deadline') return "the grant's time was over"
  if (stopped.kind === 'refused') return stopped.error.message
  return `the broker ended the grant (${[stopped.endedBy, stopped.reason].filter(Boolean).join(': ')})`
}

function endText({ code, signal }: CommandOutcome): string {
  return signal === null ? `exit code ${code}` : `ended by ${signal}`
}

function section(name: string, text: string): string[] {
  return text === '' ? [] : [`--- ${name}`, text.replace(/\n$/, '')]
}
