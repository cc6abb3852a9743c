/** One live grant as a line in the runtime directory: what the shell's prompt shows of it. */
export interface MarkerLine {
  /** Seconds since the epoch. */
  readonly expires: number
  readonly environment: string
  readonly tier: string
  readonly task: string
  /** The copilot that it is for; nothing for a person. */
  readonly agent: string | undefined
  /** Who holds it. */
  readonly holder: Holder
}

/** A process by its number, told from a later one of the same number by when it started. */
export interface Holder {
  readonly pid: number
  /** Clock ticks since the machine started (proc_pid_stat(5), 22); nothing where there is no /proc. */
  readonly started: string | undefined
}

const NAME = '[a-z][a-z0-9_-]{0,62}'
/** The hooks in src/shell check the same: what a terminal or a shell would obey can't be in a line. */
const FORM = new RegExp(
  `^(\\d{1,12}) (${NAME}) (${NAME}) (${NAME}) (\\d{1,10}) (\\d{1,20}|-) ([a-z0-9][a-z0-9._-]{0,62}|-)\\n$`,
)

/** `expires environment tier task pid started agent`, `-` for what there isn't. */
export function formatMarkerLine(line: MarkerLine): string {
  const { expires, environment, tier, task, holder, agent } = line
  const { pid, started } = holder
  const fields = [expires, environment, tier, task, pid, started ?? '-', agent ?? '-']
  return `${fields.join(' ')}\n`
}

/** @returns nothing for anything but such a line */
export function parseMarkerLine(text: string): MarkerLine | undefined {
  const [, expires, environment, tier, task, pid, started, agent] = FORM.exec(text) ?? []
  if (!environment || !tier || !task) return undefined
  const given = (field: string | undefined) => (field === '-' ? undefined : field)
  return {
    expires: Number(expires),
    environment,
    tier,
    task,
    holder: { pid: Number(pid), started: given(started) },
    agent: given(agent),
  }
}
