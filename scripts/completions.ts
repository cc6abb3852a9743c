/** Writes what is made of the command tree: `node scripts/completions.ts`, after `npm run build`. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { madeOfCommands } from './made-of-commands.ts'

for (const [file, text] of Object.entries(madeOfCommands())) {
  const path = join(import.meta.dirname, '..', file)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text)
}
