import manifest from '../package.json' with { type: 'json' }

/** Runs one command line and ends the process with its exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  const [flag, ...rest] = argv
  // The whole program takes half as long again to load as Node itself: not for this.
  if (rest.length === 0 && (flag === '--version' || flag === '-V')) {
    process.stdout.write(`${manifest.version}\n`)
  } else if (flag === '__complete') {
    const { complete } = await import('./cli/complete.ts')
    await complete(rest)
  } else {
    const { start } = await import('./cli/start.ts')
    await start(argv)
  }
}
