import { join } from 'node:path'
import type { DeliveredCredential } from '../../protocol/lifeline.ts'
import type { Ports } from './ports.ts'

/** Credentials as a command gets them, with the ports that are open for it. */
export interface Delivered extends AsyncDisposable {
  readonly credentials: readonly (DeliveredCredential & {
    /** Whether a port's own variables may be among its own. */
    readonly ported: boolean
  })[]
  /** Ends what goes through the ports, and closes them. */
  close(): Promise<void>
}

/**
 * Opens ports for the credentials that are delivered by proxy.
 * @param inside whether this runs in a sandbox, whose supervisor has opened the ports already
 * @throws JitError what {@link Ports.deliver} throws
 */
export async function deliverThroughPorts(
  credentials: readonly DeliveredCredential[],
  { runtime, inside }: { runtime: string; inside: boolean },
): Promise<Delivered> {
  if (!credentials.some(({ upstream }) => upstream)) {
    const ported = credentials.map((credential) => ({ ...credential, ported: inside }))
    return { credentials: ported, async close() {}, async [Symbol.asyncDispose]() {} }
  }
  const { localPorts } = await import('./local-ports.ts')
  const ports = localPorts({ folder: join(runtime, 'ports') })
  const close = onceOnly(ports)
  try {
    const delivered: Delivered['credentials'][number][] = []
    for (const credential of credentials) {
      const ported = credential.upstream !== undefined
      delivered.push({ ...(await ports.deliver(credential)), ported })
    }
    return { credentials: delivered, close, [Symbol.asyncDispose]: close }
  } catch (thrown) {
    await close()
    throw thrown
  }
}

function onceOnly(ports: Ports): () => Promise<void> {
  let closed: Promise<void> | undefined
  return () => {
    closed ??= ports.close()
    return closed
  }
}
