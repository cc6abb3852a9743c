import { JitError } from '../lib/errors.ts'

type Label = string | boolean | number

/**
 * What is given to `--label`, many times: `model=small` is text; `retries:=3` and `dry:=true` are a
 * number and a boolean, for labels that the broker declares so.
 * @throws JitError `usage`
 */
export function parseLabels(given: readonly string[]): Record<string, Label> {
  const labels: Record<string, Label> = {}
  for (const label of given) {
    const [, name, typed, text] = /^([^=:]+)(:?)=(.*)$/s.exec(label) ?? []
    if (name === undefined || text === undefined) throw wrong(`--label '${label}' has no value`)
    if (Object.hasOwn(labels, name)) throw wrong(`--label ${name} is given twice`)
    labels[name] = typed ? parseTyped(label, text) : text
  }
  return labels
}

function parseTyped(label: string, text: string): boolean | number {
  if (text === 'true' || text === 'false') return text === 'true'
  if (/^-?\d{1,15}$/.test(text)) return Number(text)
  throw wrong(`--label '${label}': expected a whole number, true or false after :=`)
}

function wrong(message: string): JitError {
  return new JitError('usage', message, {
    hint: 'write text like --label model=small, a number or boolean like --label retries:=3',
  })
}
