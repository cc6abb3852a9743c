import type { IncomingMessage } from 'node:http'
import { interactionPolicy, type KoaContextWithOIDC, type Provider } from 'oidc-provider'
import * as v from 'valibot'
import { AgentName } from '../protocol/principal.ts'
import { accountPage, consentPage, type Page, renderPage, strongerPage } from './provider-pages.ts'

/** The one authentication context that can be asked for: a second confirmation. */
export const STRONGER = 'urn:jit:mfa'

/** What a sign-in went through (RFC 8176): a person was there, and confirmed it once more. */
const METHODS = { once: ['user'], twice: ['user', 'mfa'] }

/** One account of the development provider. */
export interface Account {
  readonly login: string
  readonly name: string
  readonly groups: readonly string[]
}

/** The client ids that `jit` uses there. */
export const DEVELOPMENT_CLIENTS = { human: 'jit-cli', agent: 'jit-agent' } as const

/** The copilot that a sign-in is for, by what its client says: no provider checks the name. */
export function copilotOf(params: Record<string, unknown>): string | undefined {
  if (params.client_id !== DEVELOPMENT_CLIENTS.agent) return undefined
  return v.is(AgentName, params.agent_name) ? params.agent_name : 'without a name'
}

const PATH = /^\/interaction\/[\w-]+$/
const MAX_FORM_BYTES = 8 * 1024

type Interaction = Awaited<ReturnType<Provider['interactionDetails']>>
type Result = Parameters<Provider['interactionResult']>[2]

/** The usual questions, and between account and consent a second confirmation where the client wants it. */
export function questions(): interactionPolicy.DefaultPolicy {
  const policy = interactionPolicy.base()
  const { Check, Prompt } = interactionPolicy
  const missing = new Check('acr_values', 'a stronger sign-in is wanted', ({ oidc }) => {
    const wanted = String(oidc.params?.acr_values ?? '').split(' ')
    return wanted.includes(STRONGER) && oidc.session?.acr !== STRONGER
  })
  policy.add(new Prompt({ name: 'stronger' }, missing), 1)
  // oidc-provider makes `prompt=login` of `max_age=0`, and forgets it on a device's way to the browser.
  const anew = new Check('max_age_0', 'a new sign-in is wanted', ({ oidc }) => {
    return oidc.entities.DeviceCode?.params?.prompt === 'login' && !oidc.result?.login
  })
  policy.get('login')?.checks.add(anew)
  return policy
}

/** Middleware with the pages of a sign-in: which account, once more, and whether the client may have it. */
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
  const login = interaction.session?.accountId ?? ''
  if (interaction.prompt.name === 'login') return accountPage({ action, logins })
  if (interaction.prompt.name === 'stronger') return strongerPage({ action, login })
  return consentPage({
    action,
    client: String(interaction.params.client_id),
    copilot: copilotOf(interaction.params),
    login,
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
    return login && logins.includes(login) ? signedIn(login, { amr: METHODS.once }) : undefined
  }
  if (interaction.prompt.name === 'stronger') {
    const again = interaction.session?.accountId
    const stronger = { amr: METHODS.twice, acr: STRONGER }
    return again && fields.has('again') ? signedIn(again, stronger) : undefined
  }
  return fields.has('consent') ? { consent: await allow(provider, interaction) } : undefined
}

/** The time is said, because the later pages of the same sign-in hand it in once more. */
function signedIn(accountId: string, how: { amr: string[]; acr?: string }): Result {
  return { login: { accountId, ts: Math.floor(Date.now() / 1000), ...how } }
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
