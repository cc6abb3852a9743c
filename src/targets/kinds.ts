import { postgresKind } from './postgres.ts'
import type { TargetKind } from './target.ts'
import { tokenKind } from './token.ts'

/** Every kind of target: a new one is a file and a line here. */
export const targetKinds: readonly TargetKind<unknown>[] = [postgresKind, tokenKind]
