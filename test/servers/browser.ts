/** A browser without JavaScript: follows redirects, keeps cookies, submits forms as they are offered. */
export class Browser {
  readonly #cookies = new Map<string, { value: string; path: string }>()

  /** @returns the page at the end of the redirects, or the first address outside `within` */
  async open(
    address: URL,
    { form, within = address.origin }: { form?: URLSearchParams; within?: string } = {},
  ): Promise<{ url: URL; status: number; html: string }> {
    let url = address
    let body = form
    for (let hop = 0; hop < 20; hop += 1) {
      const response = await fetch(url, {
        method: body ? 'POST' : 'GET',
        redirect: 'manual',
        headers: { cookie: this.#cookieHeader(url) },
        ...(body ? { body } : {}),
      })
      for (const cookie of response.headers.getSetCookie()) this.#keep(cookie)
      const location = response.headers.get('location')
      if (!location) return { url, status: response.status, html: await response.text() }
      await response.body?.cancel()
      url = new URL(location, url)
      body = undefined
      if (url.origin !== within) return { url, status: response.status, html: '' }
    }
    throw new Error('too many redirects')
  }

  #cookieHeader(url: URL): string {
    return [...this.#cookies]
      .filter(([, cookie]) => url.pathname.startsWith(cookie.path))
      .map(([key, cookie]) => `${key.split(';')[0]}=${cookie.value}`)
      .join('; ')
  }

  #keep(header: string): void {
    const [pair = '', ...attributes] = header.split(';').map((part) => part.trim())
    const name = pair.slice(0, pair.indexOf('='))
    const value = pair.slice(pair.indexOf('=') + 1)
    const path = attributes.find((part) => /^path=/i.test(part))?.slice(5) ?? '/'
    if (value === '') this.#cookies.delete(`${name};${path}`)
    else this.#cookies.set(`${name};${path}`, { value, path })
  }
}

export interface Choices {
  /** The account to choose. */
  readonly login: string
  /** Refuse on the first page whose title matches. */
  readonly refuseAt?: RegExp
  /** Typed where a page asks for the code. */
  readonly code?: string
  /** One that has been there before; a new one otherwise. */
  readonly browser?: Browser
}

/** Fills the one form of a page in as a person would; `undefined` when there is none. */
export function fillForm(
  html: string,
  choices: Choices,
): { action: string; fields: URLSearchParams } | undefined {
  const form = /<form[^>]*action="([^"]*)"[^>]*>([\s\S]*?)<\/form>/.exec(html)
  if (!form) return undefined
  const [, action = '', inside = ''] = form
  const fields = new URLSearchParams()
  for (const [, name = '', value = ''] of inside.matchAll(
    /type="hidden" name="([^"]*)" value="([^"]*)"/g,
  )) {
    fields.set(name, plainText(value))
  }
  if (/name="user_code" autocomplete/.test(inside)) fields.set('user_code', choices.code ?? '')
  const buttons = [...inside.matchAll(/<button[^>]*name="([^"]*)" value="([^"]*)"/g)]
  const title = /<h1>(.*?)<\/h1>/.exec(html)?.[1] ?? ''
  const wanted = choices.refuseAt?.test(title)
    ? buttons.find(([, name]) => name === 'abort')
    : (buttons.find(([, name, value]) => name === 'login' && value === choices.login) ?? buttons[0])
  if (wanted?.[1]) fields.set(wanted[1], plainText(wanted[2] ?? ''))
  return { action: plainText(action), fields }
}

function plainText(text: string): string {
  return text
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
}

/**
 * Walks the pages from `address` until one has no form, or until they lead to another origin.
 * @returns the titles seen, and the last page or the address outside
 */
export async function walkPages(
  address: URL,
  choices: Choices,
): Promise<{ titles: string[]; url: URL; html: string }> {
  const { browser = new Browser() } = choices
  const titles: string[] = []
  let page = await browser.open(address)
  for (let step = 0; step < 10; step += 1) {
    titles.push(/<h1>(.*?)<\/h1>/.exec(page.html)?.[1] ?? '')
    const form = fillForm(page.html, choices)
    if (!form) return { titles, url: page.url, html: page.html }
    const action = new URL(form.action, page.url)
    page = await browser.open(action, { form: form.fields, within: address.origin })
  }
  throw new Error(`the sign-in does not end: ${titles.join(', ')}`)
}

/** Confirms a device sign-in at the provider's own pages; `refuseAt` names the page to refuse at. */
export async function confirmDevice(
  device: { verificationUriComplete: string } & Choices,
): Promise<string[]> {
  return (await walkPages(new URL(device.verificationUriComplete), device)).titles
}

/** Signs in for the loopback flow and follows the redirect to the waiting `jit`. */
export async function walkLogin(address: URL, choices: Choices): Promise<string[]> {
  const end = await walkPages(address, choices)
  if (end.url.origin !== address.origin) await (await fetch(end.url)).text()
  return end.titles
}
