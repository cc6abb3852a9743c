import type { Escape } from '../escape.ts'
import { asking } from './asking.ts'
import { flooding, terminal } from './persuading.ts'
import { posing } from './posing.ts'
import { smuggling } from './smuggling.ts'

/** What is asked of the supervisor. */
export const linkEscapes: readonly Escape[] = [
  // What asks for production comes first: later it would be refused for being too much.
  ...terminal,
  ...asking,
  ...posing,
  ...smuggling,
  ...flooding,
]
