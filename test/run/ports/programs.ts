import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const execute = promisify(execFile)

export interface Output {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program with nothing in its environment but PATH and what it is given. */
export async function runProgram(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Output> {
  const options = { env: { PATH: process.env.PATH ?? '', HOME: '/nonexistent', ...env } }
  try {
    const { stdout, stderr } = await execute(file, [...args], { ...options, maxBuffer: 2 ** 28 })
    return { code: 0, stdout, stderr }
  } catch (thrown) {
    const { code, stdout, stderr } = thrown as Output
    return { code, stdout, stderr }
  }
}
