import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Escape, planted, WORD } from '../escape.ts'
import { databaseWith, loot } from '../loot.ts'

/** What is tried once a grant has ended, and another sandbox of the same repository. */
export const afterwards: readonly Escape[] = [
  {
    name: "use the database port after the grant's end",
    gain: 'the database, for as long as it likes',
    plain: false,
    needs: ['psql'],
    proof: 'claim',
    attempt: (s) => databaseWith(loot(s)),
  },
  ...['.gitlab-ci.yml', '.envrc', '.git/commondir'].map(
    (path): Escape => ({
      name: `plant ${path} once another sandbox of the repository has ended`,
      gain: 'what was only closed by a mount that the other one took away',
      plain: false,
      proof: 'effect',
      attempt: ({ repository }) => {
        appendFileSync(join(repository, path), `# ${WORD}\n`)
        return 'written'
      },
      effect: ({ repository }) => planted(join(repository, path)),
    }),
  ),
]
