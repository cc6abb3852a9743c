import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { Home, JIT } from '../run/home.ts'
import { confirmDevice } from '../servers/browser.ts'
import { ControlPlane } from '../servers/control-plane.ts'

let plane: ControlPlane
let home: Home
beforeAll(async () => {
  plane = await ControlPlane.start()
})
afterAll(() => plane?.stop())
beforeEach(() => {
  home = new Home()
})
afterEach(() => home[Symbol.dispose]())

/** Signs in on a terminal, confirmed in a browser elsewhere once `asked` is on the screen. */
async function signInOnTerminal(asked: string): Promise<string> {
  const pty = home.terminal(process.execPath, [JIT, 'login', plane.broker])
  let text = ''
  let confirmed = false
  pty.onData((data) => {
    text += data
    const [, link] = /Open \S*?(http\S+?user_code=[A-Z]{4}-[A-Z]{4})/.exec(text) ?? []
    if (confirmed || !link || !text.includes(asked)) return
    confirmed = true
    void confirmDevice({ verificationUriComplete: link, login: 'dev' })
  })
  await new Promise((resolve) => pty.onExit(resolve))
  return text
}

test('a question that nobody answered is gone once the sign-in is confirmed elsewhere', async () => {
  home.env.BROWSER = 'true'
  const text = await signInOnTerminal('Open it in a browser here?')
  const after = text.slice(text.lastIndexOf('Open it in a browser here?'))
  const [line = '', signedIn] = after.split('signed in at')
  expect(signedIn).toContain('as dev')
  expect(line).toContain('\u001b[2K')
  expect(line).not.toContain('\n')
})

test('nobody is asked where there is no browser', async () => {
  const text = await signInOnTerminal('left)')
  expect(text).not.toContain('browser')
  expect(text).toContain('signed in at')
})
