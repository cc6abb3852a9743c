import { normalize } from 'node:path'
import * as v from 'valibot'
import { Domain } from '../protocol/sandbox.ts'

/** Of the repository, from the folder of the file on: what it names is taken away there. */
const InnerPath = v.pipe(
  v.string('expected a path'),
  v.minLength(1, 'expected a path'),
  v.maxLength(1024, 'expected at most 1024 characters'),
  v.check((path) => !/[*?[\]\0]/.test(path), 'expected a path, and no pattern'),
  v.check(
    (path) => !path.startsWith('~') && !/^(?:\/|\.\.(?:\/|$))/.test(normalize(path)),
    'expected a path inside the repository',
  ),
)

const InnerPaths = v.pipe(
  v.array(InnerPath, 'expected a list of paths'),
  v.maxLength(64, 'expected at most 64 paths'),
)

/** `sandbox:` of a `.jit.yaml`: what sandboxes in this repository go without. It can add nothing. */
export const SandboxSection = v.strictObject({
  hidden: v.exactOptional(InnerPaths),
  readonly: v.exactOptional(InnerPaths),
  /** At most these, of what the person's profile names. */
  domains: v.exactOptional(
    v.pipe(
      v.array(Domain, 'expected a list of domains'),
      v.maxLength(64, 'expected at most 64 domains'),
    ),
  ),
})
export type SandboxSection = v.InferOutput<typeof SandboxSection>
