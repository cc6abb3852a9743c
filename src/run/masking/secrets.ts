import type { DeliveredCredential } from '../../protocol/lifeline.ts'

/** What nobody is to read in the output of a command that works with these credentials. */
export function secretsOf(credentials: readonly DeliveredCredential[]): string[] {
  return credentials.flatMap(({ secrets = [], upstream }) => {
    if (!upstream) return secrets
    // The command never holds it, but what it talks to may repeat it.
    return [...secrets, upstream.kind === 'http' ? upstream.token : upstream.password]
  })
}
