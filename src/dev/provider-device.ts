import type { Configuration, KoaContextWithOIDC } from 'oidc-provider'
import { copilotOf } from './provider-interactions.ts'
import { codePage, confirmPage, type Page, renderPage } from './provider-pages.ts'

/** The pages of the device flow. */
export const devicePages: NonNullable<NonNullable<Configuration['features']>['deviceFlow']> = {
  enabled: true,
  mask: '****-****',
  userCodeInputSource: (context, _form, _out, problem) => {
    if (problem?.name === 'AbortedError') {
      return show(context, {
        title: 'Refused',
        text: ['Nobody was signed in. You can close this page.'],
      })
    }
    const { action, xsrf } = formOf(context)
    return show(context, codePage({ action, xsrf, problem: codeProblem(problem) }))
  },
  userCodeConfirmSource: async (context, _form, _client, _device, code) =>
    show(
      context,
      confirmPage({ ...formOf(context), code, copilot: await copilotBehind(code, context) }),
    ),
  successSource: (context) =>
    show(context, { title: 'Signed in', text: ['You can close this page.'] }),
}

function codeProblem(problem: Error | undefined): string | undefined {
  if (!problem) return undefined
  const names: Record<string, string> = {
    NotFoundError: 'There is no such code.',
    NoCodeError: 'No code was entered.',
    ExpiredError: 'That code has expired: start again in your terminal.',
    AlreadyUsedError: 'That code was used already: start again in your terminal.',
  }
  return names[problem.name] ?? 'That did not work.'
}

/**
 * Middleware for what oidc-provider answers with a page that needs JavaScript, or leaves out: the link with the
 * code leads straight to its confirmation, the device answer carries an interval of 1 s, and what a
 * device asks for as `nonce` gets into the identity token, as with Keycloak.
 */
export async function deviceAnswers(
  context: KoaContextWithOIDC,
  next: () => Promise<void>,
): Promise<void> {
  await next()
  if (context.oidc?.route === 'device_authorization' && context.status === 200) {
    Object.assign(context.body as object, { interval: 1 })
    await keepNonce(context)
  }
  const code = context.oidc?.params?.user_code
  if (context.oidc?.route === 'code_verification' && context.method === 'GET' && code) {
    const copilot = await copilotBehind(String(code), context)
    show(context, confirmPage({ ...formOf(context), code: String(code), copilot }))
  }
}

/** A code that isn't known, or no longer, is for whoever reads the next page. */
async function copilotBehind(
  code: string,
  { oidc }: KoaContextWithOIDC,
): Promise<string | undefined> {
  const plain = code.toUpperCase().replace(/\W/g, '')
  const device = await oidc.provider.DeviceCode.findByUserCode(plain)
  return device && copilotOf({ ...device.params, client_id: device.clientId })
}

async function keepNonce({ oidc }: KoaContextWithOIDC): Promise<void> {
  const { DeviceCode: code } = oidc.entities
  const nonce = oidc.params?.nonce
  if (code && nonce) await Object.assign(code, { nonce }).save()
}

/** Where the device pages post to, and what protects them against forged requests. */
function formOf(context: KoaContextWithOIDC): { action: string; xsrf: string } {
  const { state } = context.oidc.session as unknown as { state?: { secret?: string } }
  return { action: context.oidc.urlFor('code_verification'), xsrf: state?.secret ?? '' }
}

/** Answers with a page. */
export function show(context: KoaContextWithOIDC, page: Page): void {
  context.type = 'html'
  context.body = renderPage(page)
}
