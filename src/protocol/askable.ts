import * as v from 'valibot'
import { Obligation } from './obligation.ts'
import { Name, Seconds } from './values.ts'

/**
 * What policy would say, best first. `depends`: not to a bare request, but perhaps with a command,
 * reason, ticket, label or duration that it asks for.
 */
export const ASKABLE_ANSWERS = ['permit', 'sign_in', 'approval', 'depends', 'denied'] as const
export type AskableAnswer = (typeof ASKABLE_ANSWERS)[number]

const AskableTarget = v.object({
  name: Name,
  type: v.string(),
  answer: v.picklist(ASKABLE_ANSWERS),
  /** With `sign_in` and `approval`: all that is wanted. */
  obligation: v.exactOptional(Obligation),
  /** Seconds. */
  ttl: v.object({ default: Seconds, max: Seconds }),
})

const AskableTask = v.object({
  name: Name,
  /** The hardest of its targets' answers. */
  answer: v.picklist(ASKABLE_ANSWERS),
  targets: v.array(AskableTarget),
})

const AskableEnvironment = v.object({
  name: Name,
  tier: Name,
  tasks: v.array(AskableTask),
})

/** `GET /v1/askable`: what whoever asks may ask for where they stand. Nothing of it is secret, and nothing a promise. */
export const Askable = v.object({
  /** Of the set of policies. */
  version: v.string(),
  environments: v.array(AskableEnvironment),
  /** Labels that a request may carry, with the type of their values. */
  labels: v.record(Name, v.picklist(['string', 'bool', 'long'])),
})
export type Askable = v.InferOutput<typeof Askable>
export type AskableEnvironment = v.InferOutput<typeof AskableEnvironment>
export type AskableTask = v.InferOutput<typeof AskableTask>
export type AskableTarget = v.InferOutput<typeof AskableTarget>

/** Where somebody stands, as they say; and what alone they want to know of. */
export interface AskableQuestion {
  readonly repository: string
  readonly branch: string
  readonly commit: string
  /** Only this environment. */
  readonly environment?: string
  /** What would be denied, too. */
  readonly all?: boolean
}
