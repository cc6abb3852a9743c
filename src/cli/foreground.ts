import { readFileSync } from 'node:fs'

/**
 * Whether the terminal of this process is there, and its keys and signals come here: not behind `&`, and
 * not after a hang-up (proc(5): pgrp and tpgid of `stat`).
 * @returns nothing where the system doesn't say
 */
export function inForeground(): boolean | undefined {
  let stat: string
  try {
    stat = readFileSync('/proc/self/stat', 'utf8')
  } catch {
    return undefined
  }
  // The second field is the program's name, and may hold anything.
  const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return group === foreground
}
