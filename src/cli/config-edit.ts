import { randomBytes } from 'node:crypto'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { parseDocument } from 'yaml'
import { JitError } from '../lib/errors.ts'
import type { Paths } from '../lib/paths.ts'
import { configFile, readConfig, readText } from './config.ts'

/**
 * Notes a broker that the person signed in at, with its issuer; comments and order of the file stay.
 * @param broker.current make it the one that commands go to
 * @throws JitError `config_invalid`
 */
export async function rememberBroker(
  paths: Paths,
  broker: { url: string; issuer: string; current: boolean },
): Promise<void> {
  const config = await readConfig(paths)
  const known = config.brokers?.[broker.url]?.issuer === broker.issuer
  if (known && (!broker.current || config.broker === broker.url)) return
  const file = configFile(paths)
  const document = parseDocument((await readText(file)) ?? '')
  if (broker.current) document.set('broker', broker.url)
  document.setIn(['brokers', broker.url, 'issuer'], broker.issuer)
  await replace(file, document.toString({ lineWidth: 0 }))
}

async function replace(file: string, text: string): Promise<void> {
  const beside = `${file}.${randomBytes(6).toString('hex')}`
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    await writeFile(beside, text, { mode: 0o600 })
    await rename(beside, file)
  } catch (cause) {
    await rm(beside, { force: true }).catch(() => {})
    const { code } = cause as NodeJS.ErrnoException
    throw new JitError('config_invalid', `can't write ${file} (${code})`, { cause })
  }
}
