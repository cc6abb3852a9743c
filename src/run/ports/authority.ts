import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { SecureContext } from 'node:tls'
import { JitError } from '../../lib/errors.ts'
import { isClosed } from '../private-folder.ts'

/** Issues the certificates that a port shows in the place of an API's. Its key is in memory alone. */
export interface Authority {
  /** A file of PEM: this authority, then those that this process trusts. */
  readonly bundle: string
  contextFor(host: string): SecureContext
  /** Takes the file away. */
  remove(): void
}

/**
 * Makes one, which takes a few hundred milliseconds of computing.
 * @param folder where the bundle is left; made if it isn't there
 * @throws JitError `config_invalid` where others could exchange the bundle
 */
export async function createAuthority(folder: string): Promise<Authority> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const open = [dirname(folder), folder].find((path) => !isClosed(path))
  if (open !== undefined) {
    throw new JitError('config_invalid', `${open} is open to others`, {
      hint: `it has to be yours alone: chmod 700 ${open}`,
    })
  }
  const [authorities, leaves] = await Promise.all([
    import('@anthropic-ai/sandbox-runtime/dist/sandbox/mitm-ca.js'),
    import('@anthropic-ai/sandbox-runtime/dist/sandbox/mitm-leaf.js'),
  ])
  const { certPem, keyPem } = authorities.generateCa({
    cn: 'jit, for this command',
    validityDays: 7,
  })
  const authority = authorities.createMitmCA({ caCertPem: certPem, caKeyPem: keyPem })
  const bundle = join(folder, `authorities-${randomBytes(8).toString('hex')}.pem`)
  writeFileSync(bundle, readFileSync(authority.trustBundlePath), { mode: 0o600, flag: 'wx' })
  await authorities.disposeMitmCA(authority)
  return {
    bundle,
    contextFor: (host) => leaves.secureContextFor(authority, host),
    remove: () => rmSync(bundle, { force: true }),
  }
}
