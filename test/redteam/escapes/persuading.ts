import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { accepted, ask, jit } from '../door.ts'
import { type Escape, SUPERVISOR_SAID, type Surroundings } from '../escape.ts'
import { python, run } from '../tools.ts'

/** What it does to the person's terminal. */
export const terminal: readonly Escape[] = [
  {
    name: "type into the person's terminal (TIOCSTI)",
    gain: "a command in the person's shell",
    plain: false,
    needs: ['python3'],
    proof: 'claim',
    attempt: () =>
      python(
        `import fcntl, pty
fds = [0, 1, 2]
try: fds.append(os.open('/dev/tty', os.O_RDWR))
except OSError: pass
fds += list(pty.openpty())
for fd in fds:
    try: fcntl.ioctl(fd, 0x5412, b'#'); print('typed'); sys.exit(0)
    except OSError as error: last = error
sys.exit(str(last))`,
      ),
  },
  {
    name: "reach the person's terminal and clipboard by what approvers are shown (escape sequences)",
    gain: 'a command in the clipboard of whoever approves',
    plain: false,
    proof: 'effect',
    attempt: async (s) => {
      const sequences = '\u001b]52;c;ZXZpbA==\u0007\u009b2J\u202e'
      const words = [
        'request',
        '--env',
        'prod',
        '--task',
        'deploy',
        '--reason',
        sequences,
        '--ticket',
        sequences,
      ]
      return (await jit(s, [...words, '--', 'true', sequences])).output
    },
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
    effect: async (s) => /\u001b\]|\u009b|\u202e/.test(await personsView(s)),
  },
]

/** What the person is shown of requests, unasked and asked. */
async function personsView(s: Surroundings): Promise<string> {
  const { PATH } = process.env
  const env = {
    PATH,
    HOME: s.home,
    XDG_RUNTIME_DIR: join(s.home, 'run'),
    JIT_KEYSTORE: 'file',
    JIT_BROKER: s.broker,
  }
  const shown = await Promise.all(
    [['status'], ['grants', '--all']].map((words) => run(s.jit[0], [s.jit[1], ...words], { env })),
  )
  const said = readFileSync(join(s.home, SUPERVISOR_SAID), 'utf8')
  return [said, ...shown.map(({ output }) => output)].join('\n')
}

/** What wears the person out. */
export const flooding: readonly Escape[] = [
  {
    name: 'flood the person with requests: 150 at once',
    gain: 'somebody who clicks yes to be left alone',
    plain: false,
    proof: 'claim',
    attempt: async (s) => {
      const details = (index: number) => ({
        type: 'https://jit-elevate.dev/authorization/task',
        ...{
          environment: 'prod',
          task: 'deploy',
          targets: [],
          reason: `please ${index}`,
          ticket: '',
          labels: {},
        },
        claimed: { repository: '', branch: '', commit: '', dirty: false },
        command: { argv: ['true'], directory: s.repository, executable: '/bin/true' },
      })
      const answers = await Promise.all(
        Array.from({ length: 150 }, (_, index) =>
          ask({
            method: 'POST',
            target: '/v1/grants',
            body: JSON.stringify({
              key: `flood-${index}-${process.pid}-0123456789`,
              details: details(index),
            }),
          }).catch(() => ''),
        ),
      )
      const through = answers.filter(accepted).length
      writeFileSync(join(s.notes, 'flood'), String(through))
      const refusal = answers.find((answer) => answer !== '' && !accepted(answer)) ?? ''
      if (through <= 60) throw new Error(`${through} of 150; then ${refusal.split('\r\n')[0]}`)
      return `${through} of 150 came through`
    },
  },
]
