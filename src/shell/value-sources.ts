import type { Asked, ValueSource } from './command-tree.ts'

const asked = (what: Asked): ValueSource => ({ from: 'asked', what })
const choices = (...list: string[]): ValueSource => ({ from: 'choices', choices: list })
const files: ValueSource = { from: 'files' }
const folders: ValueSource = { from: 'folders' }
const text: ValueSource = { from: 'text' }

/** Of flags, whatever command they belong to. What is the person's own to say is named as well. */
const FLAGS: Readonly<Record<string, ValueSource>> = {
  '--acr': text,
  '--age': text,
  '--agent': asked('agents'),
  '--approval': text,
  '--branch': text,
  '--case': files,
  '--command': text,
  '--config': files,
  '--cursor': files,
  '--data': folders,
  '--deliver': choices('env', 'proxy'),
  '--delivery': choices('env', 'proxy'),
  '--env': asked('environments'),
  '--format': text,
  '--grant': asked('requests'),
  '--group': text,
  '--headers': files,
  '--label': asked('labels'),
  '--min-coverage': text,
  '--min-ttl': text,
  '--name': text,
  '--owner': text,
  '--port': text,
  '--postgres': text,
  '--principal': choices('human', 'agent', 'pipeline'),
  '--profile': asked('sandbox-profiles'),
  '--reason': text,
  '--purpose': choices('session', 'grant', 'audit'),
  '--receipt': files,
  '--repository': text,
  '--target': asked('targets'),
  '--task': asked('tasks'),
  '--ticket': text,
  '--time': text,
  '--to': files,
  '--ttl': text,
  '--user': text,
  '--wait': text,
  '--workload': choices('github', 'gitlab', 'spiffe', 'kubernetes', 'env:', 'file:'),
}

/** Of arguments, by command and name. */
const ARGUMENTS: Readonly<Record<string, ValueSource>> = {
  'acknowledge id': asked('unacknowledged'),
  'approve id': asked('approvals'),
  'broker adopt handle': text,
  'broker help command': text,
  'deny id': asked('approvals'),
  'exec profile': asked('profiles'),
  'help command': { from: 'commands' },
  'login broker': text,
  'policy check dir': folders,
  'policy explain grant': asked('grants'),
  'policy help command': text,
  'policy test dir': folders,
  'request profile': asked('profiles'),
  'revoke id': asked('grants'),
  'show id': asked('grants'),
}

/**
 * Where a value's candidates come from, unless the parser itself has a list of them.
 * @param owner the command that has the flag or argument: `policy check`
 * @returns nothing for what isn't listed here yet
 */
export function sourceOf(owner: string, name: string): ValueSource | undefined {
  return name.startsWith('--') ? FLAGS[name] : ARGUMENTS[`${owner} ${name}`]
}
