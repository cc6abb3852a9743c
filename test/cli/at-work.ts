import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Chalk } from 'chalk'
import type { Deps } from '../../src/cli/deps.ts'
import type { Prompt } from '../../src/cli/prompt.ts'
import { openKeystore } from '../../src/keystore/open.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { JitError } from '../../src/lib/errors.ts'
import { pathsFrom } from '../../src/lib/paths.ts'
import type { Askable, AskableTarget } from '../../src/protocol/askable.ts'
import type { FakeBroker } from '../run/fake-broker.ts'
import { Home } from '../run/home.ts'

/** A question that was put, by the flag that would have answered it. */
export interface Question {
  readonly message: string
  readonly flag: string
  readonly choices?: readonly string[]
}

/**
 * A person in a folder of their own, signed in at a broker, who answers the next question with the
 * next of `answers`; without any there is no terminal.
 */
export class AtWork implements Disposable {
  readonly home = new Home()
  readonly out: string[] = []
  readonly notes: string[] = []
  readonly questions: Question[] = []
  readonly deps: Deps

  private constructor(answers: readonly unknown[] | undefined, env: Record<string, string>) {
    Object.assign(this.home.env, env)
    const { env: all, directory } = this.home
    const paths = pathsFrom(all)
    const left = [...(answers ?? [])]
    const answer = (question: Question) => {
      if (!answers) throw new JitError('usage', 'there is no terminal to ask on')
      this.questions.push(question)
      if (left.length === 0) throw new Error(`nothing to say to: ${question.message}`)
      return left.shift()
    }
    const namesOf = (choices: readonly { name: string }[]) => choices.map(({ name }) => name)
    const prompt: Prompt = {
      confirm: async ({ message, flag }) => answer({ message, flag }) as boolean,
      select: async ({ message, flag, choices }) =>
        answer({ message, flag, choices: namesOf(choices) }) as never,
      checkbox: async ({ message, flag, choices }) =>
        answer({ message, flag, choices: namesOf(choices) }) as never,
      input: async ({ message, flag, default: usual }) =>
        (answer({ message, flag }) as string) || (usual ?? ''),
    }
    const style = new Chalk({ level: 0 })
    const io = {
      out: (line: string) => this.out.push(line),
      note: (line: string) => this.notes.push(line),
      redraw() {},
      ...{ interactive: answers !== undefined, live: false, style, outStyle: style },
    }
    this.deps = {
      ...{ env: all, paths, cwd: directory, clock: systemClock, io, prompt },
      keystore: () => openKeystore({ env: all, paths }),
      atExit: new Set(),
      interrupted: new AbortController().signal,
    } as unknown as Deps
  }

  static async at(
    broker: FakeBroker | undefined,
    { answers, env = {} }: { answers?: readonly unknown[]; env?: Record<string, string> } = {},
  ): Promise<AtWork> {
    const person = new AtWork(answers, env)
    if (broker) await person.home.signIn(broker.url)
    return person
  }

  /** Writes a file below their folder. */
  write(path: string, content = ''): void {
    const file = join(this.home.directory, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content)
  }

  [Symbol.dispose](): void {
    this.home[Symbol.dispose]()
  }
}

const TTL = { default: 900, max: 3600 }
const target = (name: string, said: Partial<AskableTarget> = {}): AskableTarget => ({
  ...{ name, type: 'postgres', answer: 'permit', ttl: TTL },
  ...said,
})
const obligation = { approvals: [{ group: 'platform-oncall', people: 1 as const }] }

/** What may be asked for: all of dev, in prod plan and, once approved, deploy; nothing of the vault. */
export const ASKABLE: Askable = {
  version: 'v1',
  environments: [
    {
      name: 'dev',
      tier: 'development',
      tasks: [{ name: 'deploy', answer: 'permit', targets: [target('dev-db')] }],
    },
    {
      name: 'prod',
      tier: 'production',
      tasks: [
        { name: 'plan', answer: 'permit', targets: [target('shop-db')] },
        {
          name: 'deploy',
          answer: 'denied',
          targets: [
            target('shop-db', { answer: 'approval', obligation }),
            target('shop-aws', { answer: 'approval', obligation, type: 'aws' }),
            target('vault', { answer: 'denied' }),
          ],
        },
      ],
    },
    {
      name: 'secret',
      tier: 'production',
      tasks: [
        { name: 'deploy', answer: 'denied', targets: [target('safe', { answer: 'denied' })] },
      ],
    },
  ],
  labels: {},
}

/** Answers what may be asked for, of one environment where one is named. */
export function serveAskable(broker: FakeBroker, askable: Askable = ASKABLE): void {
  broker.behaviour.http = ({ route }) => {
    const [path = '', query = ''] = route.split('?')
    if (path !== 'GET /v1/askable') return undefined
    const only = new URLSearchParams(query).get('environment')
    const environments = askable.environments.filter(({ name }) => !only || name === only)
    return { body: { ...askable, environments } }
  }
}
