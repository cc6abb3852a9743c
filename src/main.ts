import manifest from '../package.json' with { type: 'json' }

const FORMATS = new Set(['plain', 'ansi'])

/** Runs one command line and ends the process with its exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  const [flag, ...rest] = argv
  // The whole program takes half as long again to load as Node itself: not for this.
  if (rest.length === 0 && (flag === '--version' || flag === '-V')) {
    process.stdout.write(`${manifest.version}\n`)
  } else if (flag === 'prompt' && isPlain(rest)) {
    const { promptNow } = await import('./cli/prompt-now.ts')
    const line = promptNow(rest[1] ?? 'plain', { env: process.env, now: Date.now() })
    if (line) process.stdout.write(`${line}\n`)
  } else if (flag === '__complete') {
    const { complete } = await import('./cli/complete.ts')
    await complete(rest)
  } else {
    const { start } = await import('./cli/start.ts')
    await start(argv)
  }
}

/** `jit prompt`, perhaps with a format that is known; everything else is read, and refused, as ever. */
function isPlain(rest: readonly string[]): boolean {
  return (
    rest.length === 0 || (rest.length === 2 && rest[0] === '--format' && FORMATS.has(rest[1] ?? ''))
  )
}
