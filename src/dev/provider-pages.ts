/** Text inside HTML, attributes included. */
function escapeHtml(text: string): string {
  const names: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  }
  return text.replace(/[&<>"']/g, (character) => names[character] ?? '')
}

interface Button {
  readonly name: string
  readonly value: string
  readonly label: string
}

/** One page with at most one form. Plain HTML: it works without JavaScript, and loads nothing. */
export interface Page {
  readonly title: string
  readonly text: readonly string[]
  readonly form?: {
    readonly action: string
    readonly hidden?: Readonly<Record<string, string>>
    /** A text field to fill in. */
    readonly field?: { readonly name: string; readonly label: string }
    /** The affirmative first, refusing last. */
    readonly buttons: readonly Button[]
  }
}

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}
button{font:inherit;padding:.4rem 1rem;margin:.3rem .3rem .3rem 0}
.warning{border-left:.3rem solid #c60;padding-left:.7rem}`

function renderForm(form: NonNullable<Page['form']>): string {
  const hidden = Object.entries(form.hidden ?? {}).map(
    ([name, value]) =>
      `<input type="hidden" name="${escapeHtml(name)}" value="${escapeHtml(value)}">`,
  )
  const field = form.field
    ? `<p><label>${escapeHtml(form.field.label)} <input type="text" name="${escapeHtml(form.field.name)}" autocomplete="off" autofocus></label></p>`
    : ''
  const buttons = form.buttons.map(
    (button) =>
      `<button type="submit" name="${escapeHtml(button.name)}" value="${escapeHtml(button.value)}">${escapeHtml(button.label)}</button>`,
  )
  return `<form method="post" action="${escapeHtml(form.action)}">
${[...hidden, field, ...buttons].filter(Boolean).join('\n')}
</form>`
}

/** The page as HTML, everything in it escaped. */
export function renderPage(page: Page): string {
  return `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>${escapeHtml(page.title)}</title><style>${STYLE}</style></head>
<body>
<h1>${escapeHtml(page.title)}</h1>
<p class="warning">Development sign-in: no password. Never use it for anything real.</p>
${page.text.map((line) => `<p>${escapeHtml(line)}</p>`).join('\n')}
${page.form ? renderForm(page.form) : ''}
</body>
</html>
`
}

/** Where someone types the code that their terminal shows. */
export function codePage(form: {
  action: string
  xsrf: string
  problem: string | undefined
}): Page {
  return {
    title: 'Sign in',
    text: [...(form.problem ? [form.problem] : []), 'Enter the code that your terminal shows.'],
    form: {
      action: form.action,
      hidden: { xsrf: form.xsrf },
      field: { name: 'user_code', label: 'Code' },
      buttons: [{ name: 'continue', value: 'yes', label: 'Continue' }],
    },
  }
}

/** RFC 8628 section 3.3.1: the person compares the code, even when it came with the link. */
export function confirmPage(form: {
  action: string
  xsrf: string
  code: string
  /** The copilot that is to be signed in; absent where it is the person. */
  copilot: string | undefined
}): Page {
  return {
    title: form.copilot === undefined ? 'Confirm the code' : 'Confirm the code of a copilot',
    text: [
      ...(form.copilot === undefined ? [] : [aboutCopilot(form.copilot)]),
      `Does your terminal show the code ${form.code}?`,
      'If you did not ask to sign in, refuse.',
    ],
    form: {
      action: form.action,
      hidden: { xsrf: form.xsrf, user_code: form.code },
      buttons: [
        { name: 'confirm', value: 'yes', label: 'Yes, continue' },
        { name: 'abort', value: 'yes', label: 'Refuse' },
      ],
    },
  }
}

const aboutCopilot = (name: string) =>
  `This is for the copilot ${name}, not for you: it signs in as itself, and you become its owner.`

export function accountPage(form: { action: string; logins: readonly string[] }): Page {
  return {
    title: 'Choose an account',
    text: [],
    form: {
      action: form.action,
      buttons: [
        ...form.logins.map((login) => ({ name: 'login', value: login, label: login })),
        { name: 'abort', value: 'yes', label: 'Refuse' },
      ],
    },
  }
}

/** Stands for a security key or a code: what a provider asks for when a client wants more. */
export function strongerPage(form: { action: string; login: string }): Page {
  return {
    title: 'Confirm once more',
    text: [
      'A stronger sign-in is wanted.',
      'A real provider would ask for a security key or a code here.',
    ],
    form: {
      action: form.action,
      buttons: [
        { name: 'again', value: 'yes', label: `I am ${form.login}` },
        { name: 'abort', value: 'yes', label: 'Refuse' },
      ],
    },
  }
}

export function consentPage(form: {
  action: string
  client: string
  /** The copilot that the client signs in; absent where it is the person. */
  copilot: string | undefined
  login: string
  scopes: readonly string[]
}): Page {
  const { copilot, login } = form
  return {
    title:
      copilot === undefined
        ? `Let ${form.client} sign you in`
        : `Let the copilot ${copilot} work for you`,
    text: [
      ...(copilot === undefined ? [] : [aboutCopilot(copilot)]),
      `As ${login}. It learns: ${form.scopes.join(', ')}.`,
    ],
    form: {
      action: form.action,
      buttons: [
        { name: 'consent', value: 'yes', label: 'Allow' },
        { name: 'abort', value: 'yes', label: 'Refuse' },
      ],
    },
  }
}
