import { styleText } from 'node:util'

/** What the demo says, in one voice. */
export interface Screen {
  readonly coloured: boolean
  title(text: string): void
  step(text: string): void
  /** The demo's own words. */
  say(text: string): void
  /** A command as one would type it. */
  command(text: string): void
  /** A line that a command printed, as it came. */
  output(line: string): void
  /** Something that was to be seen, and was. */
  seen(text: string): void
}

type Style = Parameters<typeof styleText>[0]

/** @param coloured whether escape sequences may be written */
export function createScreen(
  write: (text: string) => void,
  { coloured }: { coloured: boolean },
): Screen {
  let steps = 0
  const style = (format: Style, text: string) =>
    coloured ? styleText(format, text, { validateStream: false }) : text
  const line = (text: string) => write(`${text}\n`)
  return {
    coloured,
    title: (text) => line(style('bold', text)),
    step(text) {
      steps += 1
      line(`\n${style('cyan', String(steps))}  ${style('bold', text)}`)
    },
    say: (text) => line(`   ${style('dim', text)}`),
    command: (text) => line(`   ${style('dim', '$')} ${style('bold', text)}`),
    output: (text) => line(text === '' ? '' : `   ${text}`),
    seen: (text) => line(`${style('green', '✓')}  ${text}`),
  }
}
