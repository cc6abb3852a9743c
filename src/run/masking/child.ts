import type { Readable, Writable } from 'node:stream'
import { type Child, type ChildStart, launch, startChild } from '../child.ts'
import { forward } from './forwarding.ts'
import { Masker } from './masker.ts'
import { closeSink, makePipes } from './pipes.ts'

/** Where masked output goes; a stream that isn't named stays the child's own. */
export interface MaskedOutput {
  readonly stdout?: Writable
  readonly stderr?: Writable
}

/** The descriptors that a program writes to, as it was started. */
const DESCRIPTORS = { stdout: 1, stderr: 2 } as const

/**
 * Starts a program as {@link startChild} does, with what it writes masked on its way. Where there is
 * nothing to mask, its output is its own.
 * @throws JitError `command_not_found`, `command_not_executable`
 */
export async function startMaskedChild(start: ChildStart, output: MaskedOutput): Promise<Child> {
  const masked = (['stdout', 'stderr'] as const).flatMap((name) => {
    const [sink, masker] = [output[name], Masker.for(start.secrets)]
    return sink && masker ? [{ at: DESCRIPTORS[name], sink, masker }] : []
  })
  if (masked.length === 0) return startChild(start)
  const pipes = await makePipes(masked.length)
  const stdio: ('inherit' | 'pipe' | number)[] = ['inherit', 'inherit', 'inherit']
  for (const [index, { at }] of masked.entries()) stdio[at] = pipes?.[index]?.sink ?? 'pipe'
  const { process, started } = launch(start, stdio)
  for (const pipe of pipes ?? []) closeSink(pipe)
  const child = await started.catch((thrown) => {
    for (const { source } of pipes ?? []) source.destroy()
    throw thrown
  })
  const written = masked.map(async ({ at, sink, masker }, index) => {
    const source = pipes?.[index]?.source ?? (process.stdio[at] as Readable)
    await forward({ source, sink, masker, ended: child.outcome })
  })
  return { ...child, written: Promise.all(written) }
}
