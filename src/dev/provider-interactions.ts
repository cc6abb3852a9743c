import type { IncomingMessage } from 'node:http'
import type { KoaContextWithOIDC, Provider } from 'oidc-provider'
import { accountPage, consentPage, type Page, renderPage } from './provider-pages.ts'

/** One account of the development provider. */
export interface Account {
  readonly login: string
  readonly name: string
  readonly groups: readonly string[]
}

const PATH = /^\/interaction\/[\w-]+$/
const MAX_FORM_BYTES = 8 * 1024

type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>
type Result = Parameters<Provider['interactionResult']>[2]

/** Middleware with the two pages of a sign-in: which account, and whether the client may have it. */
export function accountPages(provider: Provider, accounts: readonly Account[]) {
  const logins = accounts.map((account) => account.login)
  return async (context: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> => {
    if (!PATH.test(context.path)) return next()
    const interaction = await openInteraction(provider, context)
    if (!interaction) {
      return answer(context, {
        title: 'Nothing to confirm',
        text: ['Start again in your terminal.'],
      })
    }
    const action = `${provider.issuer}${context.path}`
    if (context.method === 'POST') {
      const result = await submitted({ provider, interaction, logins, request: context.req })
      if (result) {
        const next = await provider.interactionResult(context.req, context.res, result)
        context.status = 303
        return context.redirect(next)
      }
    }
    answer(context, pageOf(interaction, { action, logins }))
  }
}

async function openInteraction(
  provider: Provider,
  context: KoaContextWithOIDC,
): Promise<Interaction | undefined> {
  try {
    return await provider.interactionDetails(context.req, context.res)
  } catch {
    // No cookie, or one whose interaction is over.
    return undefined
  }
}

function pageOf(
  interaction: Interaction,
  { action, logins }: { action: string; logins: readonly string[] },
): Page {
  if (interaction.prompt.name === 'login') return accountPage({ action, logins })
  return consentPage({
    action,
    client: String(interaction.params.client_id),
    login: interaction.session?.accountId ?? '',
    scopes: String(interaction.params.scope ?? '').split(' '),
  })
}

async function submitted(form: {
  provider: Provider
  interaction: Interaction
  logins: readonly string[]
  request: IncomingMessage
}): Promise<Result | undefined> {
  const { provider, interaction, logins } = form
  const fields = await readForm(form.request)
  if (fields.has('abort')) {
    return { error: 'access_denied', error_description: 'the person refused' }
  }
  const login = fields.get('login')
  if (interaction.prompt.name === 'login') {
    return login && logins.includes(login) ? { login: { accountId: login } } : undefined
  }
  return fields.has('consent') ? { consent: await allow(provider, interaction) } : undefined
}

async function allow(provider: Provider, interaction: Interaction): Promise<{ grantId: string }> {
  const grant = new provider.Grant({
    accountId: interaction.session?.accountId ?? '',
    clientId: String(interaction.params.client_id),
  })
  grant.addOIDCScope(String(interaction.params.scope ?? 'openid'))
  return { grantId: await grant.save() }
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  let text = ''
  for await (const chunk of request) {
    text += String(chunk)
    if (text.length > MAX_FORM_BYTES) return new URLSearchParams()
  }
  return new URLSearchParams(text)
}

function answer(context: KoaContextWithOIDC, page: Page): void {
  context.status = 200
  context.type = 'html'
  context.body = renderPage(page)
}
