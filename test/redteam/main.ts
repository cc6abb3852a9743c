/** `npm run redteam`: prints what came of every escape; fails where one succeeded. */

import { redTeam } from './redteam.ts'
import { printed } from './referee.ts'

const rows = await redTeam()
process.stdout.write(`${printed(rows)}\n`)
const open = rows.filter(({ inside }) => inside.verdict === 'succeeded')
process.stderr.write(`${rows.length} escapes, ${open.length} succeeded\n`)
process.exitCode = open.length === 0 ? 0 : 1
