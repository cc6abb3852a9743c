import { postgresKind } from './postgres.ts'

/** Every kind of target: a new one is a file and a line here. */
export const targetKinds = [postgresKind] as const
