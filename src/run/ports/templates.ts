/**
 * Variables with `{{name}}` replaced by the value of that name. One without a value stays as it is:
 * what a broker of another version names is seen, not silently empty.
 */
export function fillTemplates(
  templates: Readonly<Record<string, string>>,
  values: Readonly<Record<string, string>>,
): Record<string, string> {
  const fill = (template: string) =>
    template.replaceAll(/\{\{(\w+)\}\}/g, (whole, name: string) =>
      Object.hasOwn(values, name) ? (values[name] ?? whole) : whole,
    )
  return Object.fromEntries(
    Object.entries(templates).map(([name, template]) => [name, fill(template)]),
  )
}
