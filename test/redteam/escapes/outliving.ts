import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Escape, Surroundings } from '../escape.ts'
import { shell } from '../tools.ts'

/** What a survivor writes a number to, again and again. */
const pulse = ({ notes }: Surroundings, name: string) => join(notes, name)

/** `sh` that counts in a file for 20 s, whatever it is told. */
const heart = (file: string) =>
  `trap "" TERM HUP INT QUIT; i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo $i > ${file}; sleep 0.1; done`

async function beats(file: string): Promise<boolean> {
  const count = () => {
    try {
      return readFileSync(file, 'utf8')
    } catch {
      return ''
    }
  }
  const before = count()
  await wait(500)
  return count() !== before
}

const ways: Record<string, (script: string) => string> = {
  'a double fork': (script) => `(sh -c '${script}' &) >/dev/null 2>&1 </dev/null`,
  'a session of its own (setsid)': (script) =>
    `setsid -f sh -c '${script}' >/dev/null 2>&1 </dev/null`,
  'ignoring every signal (nohup)': (script) =>
    `nohup sh -c '${script}' >/dev/null 2>&1 </dev/null &`,
}

const forks: Escape[] = Object.entries(ways).map(([way, command], index) => ({
  name: `outlive the sandbox by ${way}`,
  gain: 'time: to go on after everything was ended',
  plain: true,
  proof: 'effect',
  attempt: (s) => shell(command(heart(pulse(s, `pulse-${index}`)))),
  effect: (s) => beats(pulse(s, `pulse-${index}`)),
}))

const others: Escape[] = [
  {
    name: 'outlive the sandbox in a detached process of Node',
    gain: 'time: to go on after everything was ended',
    plain: true,
    proof: 'effect',
    attempt: (s) => {
      const args = ['-c', heart(pulse(s, 'pulse-node'))]
      spawn('/bin/sh', args, { detached: true, stdio: 'ignore' }).unref()
      return 'started'
    },
    effect: (s) => beats(pulse(s, 'pulse-node')),
  },
  {
    name: 'have a service of the machine start something later (at, cron, systemd-run)',
    gain: 'a process of the person that no sandbox holds',
    plain: false,
    proof: 'claim',
    attempt: () =>
      shell(
        `(echo true | at now + 1 minute) >/dev/null 2>&1 && echo at
(crontab -l; echo '# red team') 2>/dev/null | crontab - 2>/dev/null && echo cron
systemd-run --user true >/dev/null 2>&1 && echo systemd
busctl --user list >/dev/null 2>&1 && echo bus
for d in /etc/cron.d /var/spool/cron /etc/systemd/system /etc/init.d /etc/profile.d; do test -w $d && echo $d; done; true`,
      ).then((said) => said.trim() || undefined),
  },
]

/** What goes on when everything should have ended. */
export const outliving: readonly Escape[] = [...forks, ...others]
