import { closeSync, existsSync, fsyncSync, openSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { BrokerConfig } from './config/config.ts'
import { type ReferenceContext, resolveReference } from './references.ts'
import { createSeal, newSealKey, type Seal } from './seal.ts'

export type SealEnvironment = ReferenceContext['env']

/**
 * The seal that a configuration names.
 * @throws JitError `config_invalid`
 */
export function openSeal(
  { sealKey, directory }: Pick<BrokerConfig, 'sealKey' | 'directory'>,
  env: SealEnvironment,
): Seal {
  const [first = '', ...former] = sealKey.references
  const resolve = (reference: string) => resolveReference(reference, { env, directory })
  return createSeal(resolve(first), ...former.map(resolve))
}

/** Makes the seal key of a new store, where none was configured. */
export function makeSealKey({ references, generate }: BrokerConfig['sealKey']): void {
  const path = references[0]?.slice('file:'.length)
  if (generate && path && !existsSync(path)) writeDurably(path, `${newSealKey()}\n`)
}

/** A new file for its owner alone, whole on the disk before anything depends on it. */
function writeDurably(path: string, text: string): void {
  const draft = `${path}.new`
  writeFileSync(draft, text, { mode: 0o600, flush: true })
  renameSync(draft, path)
  const directory = openSync(dirname(path), 'r')
  fsyncSync(directory)
  closeSync(directory)
}
