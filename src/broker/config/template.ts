const PLACEHOLDER = /\{\{\s*([A-Za-z0-9_]+)\s*\}\}/g

/** The names in a template, or `undefined` where a brace is left over. */
export function placeholdersOf(template: string): readonly string[] | undefined {
  if (/\{\{|\}\}/.test(template.replace(PLACEHOLDER, ''))) return undefined
  return [...template.matchAll(PLACEHOLDER)].map((match) => match[1] ?? '')
}

/** A template of `env:` with the credential's values put in, each as it is; what has none is left as `{{name}}`. */
export function renderTemplate(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(PLACEHOLDER, (_, name: string) => values[name] ?? `{{${name}}}`)
}
