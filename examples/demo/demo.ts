/**
 * The main job from end to end, on this machine alone: a real PostgreSQL, a broker, a sign-in, a
 * command that gets a role for as long as it runs, and the proof that the role is gone. It ends with
 * 0 only when each of these was seen.
 *
 *   npm run demo [-- --migration]
 */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs, stripVTControlCharacters } from 'node:util'
import type { Receipt } from '../../src/protocol/grant.ts'
import { startPostgres } from '../../test/servers/postgres.ts'
import { proveRevoked } from './proof.ts'
import { createScreen, type Screen } from './screen.ts'
import { signIn } from './sign-in.ts'
import { Interrupted, Stage } from './stage.ts'
import { chooseWork, copyExample, type Work } from './work.ts'

const AUDITED = ['grant.permitted', 'grant.granted', 'lease.revoked', 'grant.revoked']

interface Scene {
  readonly stage: Stage
  readonly screen: Screen
  readonly adminUrl: string
  readonly broker: string
}

async function startServers(stage: Stage, screen: Screen): Promise<Scene> {
  screen.step('a real PostgreSQL, and the development control plane')
  const postgres = await startPostgres({ dir: stage.path(), ownSession: true })
  stage.atEnd(() => postgres.stop())
  const adminUrl = postgres.url()
  screen.say(
    `PostgreSQL listens on 127.0.0.1:${postgres.port}; its administrator's URL stays with the broker`,
  )
  screen.command('jit dev --postgres "$ADMIN_URL" --json')
  const ready = await stage.serve(['dev', '--postgres', adminUrl, '--json'], stage.path('dev.log'))
  screen.output(ready)
  return { stage, screen, adminUrl, broker: JSON.parse(ready).broker }
}

async function doWork(
  { stage, screen }: Scene,
  work: Work,
): Promise<{ receipt: string; witness: string }> {
  screen.step(work.title)
  const cwd = await copyExample(stage, work)
  const witness = stage.path('witness.json')
  const receipt = stage.path('receipt.json')
  screen.say(
    `on a copy of examples/${work.folder}; witness.ts, beside it, keeps the credential for later`,
  )
  for (const [index, command] of work.commands.entries()) {
    const last = index === work.commands.length - 1
    const options = ['--env', 'dev', '--task', work.task, '--', ...command]
    const words = ['exec', ...(last ? ['--receipt', '../receipt.json'] : []), ...options]
    screen.command(`jit ${words.join(' ')}`)
    const running = { cwd, env: { JIT_DEMO_WITNESS: witness }, onLine: screen.output }
    const code = await stage.jit('dev', words, running)
    if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}`)
  }
  screen.seen('it ended with 0, and its role was given back')
  return { receipt, witness }
}

function showReceipt(screen: Screen, receipt: Receipt): void {
  screen.step('the receipt')
  screen.command('cat receipt.json')
  for (const line of JSON.stringify(receipt, null, 2).split('\n')) screen.output(line)
  if (receipt.state !== 'revoked') throw new Error(`the grant is ${receipt.state}`)
  screen.seen('the grant and its credentials are revoked')
}

async function showAudit({ stage, screen, broker }: Scene, grant: string): Promise<void> {
  screen.step('the audit trail, which administrators may read')
  await signIn(stage, screen, { broker, account: 'admin', ask: false })
  const events: string[] = []
  const onLine = (line: string) => {
    if (line.includes(grant)) events.push(stripVTControlCharacters(line))
    screen.output(line)
  }
  for (const words of [['audit'], ['audit', '--verify']]) {
    screen.command(`jit ${words.join(' ')}`)
    const code = await stage.jit('admin', words, { onLine })
    if (code !== 0) throw new Error(`jit ${words.join(' ')} ended with ${code}`)
  }
  const missing = AUDITED.filter((event) => !events.some((line) => line.includes(event)))
  if (missing.length > 0) throw new Error(`the audit log has no ${missing.join(', ')}`)
  screen.seen('every step of the grant is in the log, and the log is whole')
}

async function play(
  stage: Stage,
  screen: Screen,
  options: { onlyMigration: boolean },
): Promise<void> {
  const interactive = Boolean(process.stdin.isTTY && process.stdout.isTTY)
  screen.title('jit: access for one task, for as long as it runs')
  screen.say(`jit is bin/jit.js of this clone; everything else lives in ${stage.directory}`)
  const work = chooseWork(screen, options)
  const scene = await startServers(stage, screen)
  screen.step('sign in')
  await signIn(stage, screen, { broker: scene.broker, account: 'dev', ask: interactive })
  const files = await doWork(scene, work)
  screen.step('the same login once more, now that the work is over')
  const receipt = await proveRevoked(screen, { ...files, adminUrl: scene.adminUrl })
  showReceipt(screen, receipt)
  await showAudit(scene, receipt.grant)
}

async function demo(): Promise<number> {
  const { values } = parseArgs({ options: { migration: { type: 'boolean', default: false } } })
  const coloured = process.stdout.isTTY && !process.env.NO_COLOR
  const screen = createScreen((text) => process.stdout.write(text), { coloured })
  if (!existsSync(join(import.meta.dirname, '..', '..', 'dist', 'main.js'))) {
    throw new Error('jit is not built yet: npm install')
  }
  const started = performance.now()
  const stage = await Stage.open({ coloured })
  try {
    await play(stage, screen, { onlyMigration: values.migration })
    screen.step('the end')
  } catch (error) {
    const log = await readFile(stage.path('dev.log'), 'utf8').catch(() => '')
    if (!(error instanceof Interrupted)) process.stderr.write(log)
    throw error
  } finally {
    await stage[Symbol.asyncDispose]()
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  screen.seen(
    `all seen in ${seconds} s; everything started was stopped, and ${stage.directory} is removed`,
  )
  return 0
}

process.exitCode = await demo().catch((error: unknown) => {
  const text = error instanceof Error ? error.message : String(error)
  process.stderr.write(`\ndemo: ${text}\n`)
  return error instanceof Interrupted ? error.exitCode : 1
})
