/** One way in which a secret may be written. */
export interface Form {
  readonly bytes: Buffer
  /** Whether those who write it so break lines within it (`base64`, `openssl`, `xxd -p`). */
  readonly breakable: boolean
}

/** Bytes. A shorter one is found in too much that has nothing to do with it. */
export const SHORTEST_SECRET = 8

/** Below this, a form that is broken over two lines leaves too little in either to be found by. */
const SHORTEST_BREAKABLE = 32

/**
 * The ways in which secrets are usually written: as they are, in JSON, in URLs and forms, in base64
 * wherever it begins in a longer text, and in hex. Those shorter than {@link SHORTEST_SECRET} have none.
 */
export function formsOf(secrets: readonly string[]): Form[] {
  const forms = new Map<string, Form>()
  for (const secret of secrets) {
    const bytes = Buffer.from(secret)
    if (bytes.length < SHORTEST_SECRET) continue
    for (const text of [secret, ...jsonForms(secret), ...urlForms(secret)]) {
      add(forms, { bytes: Buffer.from(text), breakable: false })
    }
    for (const text of [...base64Forms(bytes), ...hexForms(bytes)]) {
      add(forms, { bytes: Buffer.from(text), breakable: text.length >= SHORTEST_BREAKABLE })
    }
  }
  return [...forms.values()]
}

/** Two forms of the same bytes are one; it is breakable when either is. */
function add(forms: Map<string, Form>, form: Form): void {
  const key = form.bytes.toString('latin1')
  if (form.breakable || !forms.has(key)) forms.set(key, form)
}

/** RFC 8259, section 7: what has to be escaped, and what some writers escape beside it. */
function jsonForms(secret: string): string[] {
  const plain = JSON.stringify(secret).slice(1, -1)
  const forms = [
    plain,
    plain.replaceAll('/', '\\/'),
    // As Go's encoding/json and others do for HTML's sake, and those that write ASCII alone.
    plain.replace(/[<>&\u2028\u2029]/g, unicodeEscape),
    plain.replace(/[<>&'\u007f-\uffff]/g, unicodeEscape),
    plain.replace(/[\u007f-\uffff]/g, unicodeEscape),
  ]
  // JSON within JSON, as logs have it.
  return [...forms, ...forms.map((form) => JSON.stringify(form).slice(1, -1))]
}

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** Percent-encoding (RFC 3986, section 2.1) by each of the usual lists of what may stay, and of HTML forms. */
function urlForms(secret: string): string[] {
  const wellFormed = secret.toWellFormed()
  const component = encodeURIComponent(wellFormed)
  const url = new URL('http://host')
  url.password = wellFormed
  const forms = [
    component,
    component.replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`),
    url.password,
    encodeURI(wellFormed),
    new URLSearchParams({ '': wellFormed }).toString().slice(1),
  ]
  const lower = (form: string) => form.replace(/%[0-9A-F]{2}/g, (byte) => byte.toLowerCase())
  return [...forms, ...forms.map(lower)]
}

/**
 * Base64 (RFC 4648, sections 4 and 5), with none, one and two bytes of something else before it in the
 * first group: the characters that the secret alone decides. Each end may share one more with its
 * neighbour, which holds at most four bits of the secret.
 */
function base64Forms(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((before) => {
    const shifted = Buffer.concat([Buffer.alloc(before), bytes])
    const first = Math.ceil((before * 8) / 6)
    const last = Math.floor((shifted.length * 8) / 6)
    return (['base64', 'base64url'] as const).map((encoding) =>
      shifted.toString(encoding).slice(first, last),
    )
  })
}

function hexForms(bytes: Buffer): string[] {
  const hex = bytes.toString('hex')
  return [hex, hex.toUpperCase()]
}
