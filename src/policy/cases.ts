import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ConfigDocument, type Path, readDocument } from '../lib/document.ts'
import { validateDocument } from '../lib/document-schema.ts'
import { JitError } from '../lib/errors.ts'
import { nearest } from '../lib/nearest.ts'
import type { PolicySet } from './decide.ts'
import { type Stated, stateRequest } from './stated-request.ts'
import { CaseDocument } from './stated-schema.ts'
import { declared, type Stating } from './stating.ts'
import type { Inventory } from './vocabulary.ts'

const ENDING = '.cases.yaml'

/** What should come of a case; what isn't named isn't compared. */
export interface Expected {
  readonly decision: 'permit' | 'deny' | 'obligation'
  /** `false`: none; a list: one of these authentication contexts. */
  readonly signIn?: boolean | readonly string[]
  /** People by group. */
  readonly approvals?: Readonly<Record<string, 1 | 2>>
  readonly policies?: readonly string[]
}

/** A request, and what should come of it. */
export interface Case {
  readonly name: string
  readonly file: string
  readonly line: number
  readonly stated: Stated
  readonly expected: Expected
}

/** What cases are read against. */
export interface CaseWorld {
  readonly inventory: Inventory
  readonly policies: PolicySet
}

/**
 * The cases of every `*.cases.yaml` of a folder, in order of file and line.
 * @throws JitError `config_invalid` with file, line and what was expected
 */
export async function loadCases(dir: string, world: CaseWorld): Promise<Case[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith(ENDING)).sort()
  if (names.length === 0) {
    throw new JitError('config_invalid', `${dir}: expected at least one *${ENDING} file`, {
      hint: 'docs/policies.md shows what a case looks like',
    })
  }
  const files = await Promise.all(names.map((name) => loadCaseFile(join(dir, name), world)))
  return files.flat()
}

/** The cases of one file. @throws JitError `config_invalid` */
export async function loadCaseFile(file: string, world: CaseWorld): Promise<Case[]> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'unknown error'
    throw new JitError('config_invalid', `${file}: cannot be read (${reason})`, { cause })
  }
  return readCases(text, file, world)
}

/** As {@link loadCaseFile}, from text. */
export function readCases(text: string, file: string, world: CaseWorld): Case[] {
  const document = readDocument(text, file)
  const written = validateDocument(document, CaseDocument, { input: document.value })
  const seen = new Set<string>()
  return written.cases.map((one, index) => {
    const path = ['cases', index]
    if (seen.has(one.name)) {
      throw document.mistake({ path: [...path, 'name'], message: 'expected each name once' })
    }
    seen.add(one.name)
    const stating = statingOf(path, { document, written, inventory: world.inventory })
    const stated = stateRequest(one, stating)
    const expected = expectationOf(one.expect, { stating, policies: world.policies })
    if (one.action && expected.decision === 'obligation') {
      const message = 'expected permit or deny: only a task may wait for something'
      stating.refuse({ path: ['expect'], message })
    }
    return { name: one.name, file, line: document.line(path), stated, expected }
  })
}

function statingOf(
  path: Path,
  {
    document,
    written,
    inventory,
  }: { document: ConfigDocument; written: CaseDocument; inventory: Inventory },
): Stating {
  return {
    inventory,
    principals: written.principals,
    context: written.context,
    refuse: (mistake) => {
      throw document.mistake({ ...mistake, path: [...path, ...mistake.path] })
    },
  }
}

/** Names in it have to be there: a case that expects what can't be would never say so. */
function expectationOf(
  written: CaseDocument['cases'][number]['expect'],
  { stating, policies }: { stating: Stating; policies: PolicySet },
): Expected {
  const { refuse, inventory } = stating
  if (typeof written === 'string') return { decision: written }
  const { sign_in, approvals, policies: ids } = written
  const wants = approvals !== undefined || sign_in !== undefined
  const decision = written.decision ?? (wants ? 'obligation' : undefined)
  if (decision === undefined) {
    return refuse({ path: ['expect', 'decision'], message: 'expected permit, deny, obligation' })
  }
  if (wants && decision !== 'obligation') {
    const message = 'expected obligation: only that wants approvals or a sign-in'
    refuse({ path: ['expect', 'decision'], message })
  }
  for (const group of Object.keys(approvals ?? {})) {
    const path = ['expect', 'approvals', group]
    declared(group, { what: 'approver', path, names: inventory.approvers }, stating)
  }
  const known = policies.policies.map(({ id }) => id)
  for (const [index, id] of (ids ?? []).entries()) {
    if (known.includes(id)) continue
    const meant = nearest(id, known)
    const message = `there is no policy '${id}'${meant ? `: did you mean '${meant}'?` : ''}`
    refuse({ path: ['expect', 'policies', index], message })
  }
  return {
    decision,
    ...(sign_in === undefined ? {} : { signIn: sign_in }),
    ...(approvals === undefined ? {} : { approvals }),
    ...(ids === undefined ? {} : { policies: ids }),
  }
}
