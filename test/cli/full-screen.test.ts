import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { FullScreen, type ScreenEvents, type TerminalStreams } from '../../src/cli/full-screen.ts'

/** A terminal that only notes what is written. */
function terminal({ rows = 5, columns = 20 } = {}) {
  const written: string[] = []
  const stdin = Object.assign(new EventEmitter(), {
    isTTY: true,
    raw: false,
    setRawMode(raw: boolean) {
      this.raw = raw
      return this
    },
    resume() {},
    pause() {},
  })
  const stdout = Object.assign(new EventEmitter(), {
    rows,
    columns,
    write: (text: string) => written.push(text) > 0,
  })
  const said: string[] = []
  const events: ScreenEvents = {
    quit: (how) => said.push(how),
    changed: () => said.push('changed'),
  }
  const streams = { stdin, stdout } as unknown as TerminalStreams
  return { written, stdin, stdout, said, open: () => new FullScreen(streams, events) }
}

test('of what is drawn again only the lines that changed are written', () => {
  const { written, open } = terminal()
  using screen = open()
  screen.draw(['one', 'two', 'three'])
  written.length = 0
  screen.draw(['one', 'TWO'])
  screen.draw(['one', 'TWO'])
  expect(written).toEqual(['\u001b[?2026h\u001b[2;1HTWO\u001b[K\u001b[3;1H\u001b[K\u001b[?2026l'])
})

test('a line as wide as the terminal keeps its last character', () => {
  const { written, open } = terminal({ columns: 4 })
  using screen = open()
  screen.draw(['日本'])
  expect(written.at(-1)).toBe('\u001b[?2026h\u001b[1;1H日本\u001b[?2026l')
})

test('lines that have no room are counted in the last row', () => {
  const { written, open } = terminal({ rows: 3 })
  using screen = open()
  screen.draw(['1', '2', '3', '4', '5'])
  expect(written.at(-1)).toContain('\u001b[2;1H2')
  expect(written.at(-1)).toContain('\u001b[3;1H… and 3 more lines')
})

test('after a resize all is drawn', () => {
  const { written, stdout, said, open } = terminal()
  using screen = open()
  screen.draw(['one'])
  stdout.emit('resize')
  screen.draw(['one'])
  expect(said).toEqual(['changed'])
  expect(written.slice(-2)).toEqual([
    '\u001b[2J',
    '\u001b[?2026h\u001b[1;1Hone\u001b[K\u001b[?2026l',
  ])
})

test('keys: q and Ctrl-D end it, Ctrl-C and Ctrl-\\ interrupt it, others do nothing', () => {
  const { stdin, said, open } = terminal()
  using _screen = open()
  expect(stdin.raw).toBe(true)
  for (const key of ['x', '\u001b[A', 'q', '\u0004', '\u0003', '\u001c']) {
    stdin.emit('data', Buffer.from(key))
  }
  expect(said).toEqual(['asked', 'asked', 'interrupted', 'interrupted'])
})

test('what was there before is there again, once, and nothing is left behind', () => {
  const { written, stdin, stdout, open } = terminal()
  const before = process.listeners('exit')
  const screen = open()
  // Its own alone: this process goes on.
  for (const leave of process.listeners('exit')) if (!before.includes(leave)) leave(0)
  screen[Symbol.dispose]()
  expect(written.filter((text) => text.includes('?1049l'))).toEqual([
    '\u001b[?7h\u001b[?25h\u001b[?1049l',
  ])
  expect(stdin.raw).toBe(false)
  expect(process.listeners('exit')).toEqual(before)
  expect(stdin.listenerCount('data') + stdout.listenerCount('resize')).toBe(0)
})
