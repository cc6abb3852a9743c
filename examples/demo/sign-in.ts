import { stripVTControlCharacters } from 'node:util'
import { confirmDevice } from '../../test/servers/browser.ts'
import type { Screen } from './screen.ts'
import type { Stage } from './stage.ts'

export interface SignIn {
  readonly broker: string
  /** Whose home directory, and the account to choose at the provider. */
  readonly account: string
  /** Ask the person to open the link or press Enter; otherwise the demo confirms by itself. */
  readonly ask: boolean
}

/**
 * Signs in with `jit login`: the person confirms the code, or the demo does, through the
 * provider's own pages.
 */
export async function signIn(
  stage: Stage,
  screen: Screen,
  { broker, account, ask }: SignIn,
): Promise<void> {
  const over = new AbortController()
  let confirmation: Promise<void> | undefined
  let address = ''
  const onLine = (line: string) => {
    screen.output(line)
    const text = stripVTControlCharacters(line)
    address = /^Open (http\S+)/.exec(text)?.[1] ?? address
    if (/confirm the code/.test(text)) {
      confirmation = confirm(screen, { address, account, ask, over: over.signal })
      // Its failure is told once `jit login` has ended.
      confirmation.catch(() => {})
    }
  }
  screen.command(`jit login ${broker}`)
  const code = await stage.jit(account, ['login', broker], { onLine }).finally(() => over.abort())
  await confirmation
  if (code !== 0) throw new Error(`jit login ended with ${code}`)
}

async function confirm(
  screen: Screen,
  page: { address: string; account: string; ask: boolean; over: AbortSignal },
): Promise<void> {
  if (page.ask) {
    screen.say('Open the link and choose an account, or press Enter to have the demo confirm it.')
    if (!(await enterPressed(page.over))) return
  }
  const titles = await confirmDevice({
    verificationUriComplete: page.address,
    login: page.account,
  })
  screen.say(`the demo confirms it as ${page.account}, page by page at the provider:`)
  screen.say(titles.join(' → '))
}

/** @returns false when `over` comes first */
async function enterPressed(over: AbortSignal): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const pressed = () => resolve(true)
  const given = () => resolve(false)
  process.stdin.once('data', pressed).once('end', pressed)
  over.addEventListener('abort', given)
  try {
    return await promise
  } finally {
    process.stdin.off('data', pressed).off('end', pressed).pause()
    over.removeEventListener('abort', given)
  }
}
