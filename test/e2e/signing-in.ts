const SIGN_IN = `
  import pg from ${JSON.stringify(import.meta.resolve('pg'))}
  for (let times = Number(process.argv[1]); times > 0; times--) {
    const client = new pg.Client({ connectionString: process.env.PG_CONN_STR })
    await client.connect()
    await client.end()
    console.log('signed in')
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }`

/** `jit exec` in dev, with more flags, around a command. */
export const exec = (flags: readonly string[], ...command: string[]) => [
  ...['exec', '--env', 'dev', ...flags, '--'],
  ...command,
]
/** A command that signs in at its database so many times, a second apart. */
export const signIn = (times: number) => [
  ...[process.execPath, '--input-type=module', '-e', SIGN_IN],
  String(times),
]
