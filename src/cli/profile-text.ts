import type { Profile, ProfileFile } from '../context/profile.ts'
import { formatDuration } from '../lib/duration.ts'
import { escapeForDisplay } from '../lib/escape.ts'

/** What a `.jit.yaml` says. */
export type Profiles = Pick<ProfileFile, 'profiles' | 'sandbox'>

/** A profile in a line: `prod · deploy · shop-db · 15m · for 'terraform apply *'`. Fit for a terminal. */
export function profileText(profile: Profile, between: string): string {
  const { environment, task, targets, ttl, reason, commands, labels } = profile
  const parts = [
    `${environment}${between}${task}`,
    targets?.join(', ') || 'every target of the task',
    ttl === undefined ? undefined : formatDuration(ttl),
    ...Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`),
    reason === undefined ? undefined : `"${reason}"`,
    commands?.length ? `for ${commands.map((words) => `'${words}'`).join(', ')}` : undefined,
  ]
  return escapeForDisplay(parts.filter((part) => part !== undefined).join(between))
}

/** All that a `.jit.yaml` asks for, and what it takes away from sandboxes: a line each. */
export function profilesText({ profiles, sandbox }: Profiles, between: string): string[] {
  return [
    ...[...profiles].map(([name, profile]) => `  ${name}: ${profileText(profile, between)}`),
    ...sandboxText(sandbox, between).map((text) => `  ${text}`),
  ]
}

function sandboxText(sandbox: Profiles['sandbox'], between: string): string[] {
  const { hidden = [], readonly = [], domains } = sandbox ?? {}
  const parts = [
    ...(hidden.length > 0 ? [`without ${hidden.join(', ')}`] : []),
    ...(readonly.length > 0 ? [`read-only ${readonly.join(', ')}`] : []),
    ...(domains ? [`at most the domains ${domains.join(', ') || '(none)'}`] : []),
  ]
  return parts.length > 0 ? [escapeForDisplay(`sandboxes here: ${parts.join(between)}`)] : []
}

/** What is otherwise than it was: added, taken out, changed; nothing where all of it is the same. */
export function changesText(then: Profiles, now: Profiles, between: string): string[] {
  const names = [...new Set([...now.profiles.keys(), ...then.profiles.keys()])]
  const lines = names.flatMap((name) => {
    const [before, after] = [then, now].map(({ profiles }) => {
      const profile = profiles.get(name)
      return profile && profileText(profile, between)
    })
    return changeText(`${name}: `, before, after)
  })
  const [before, after] = [then, now].map(({ sandbox }) => sandboxText(sandbox, between)[0])
  return [...lines, ...changeText('', before, after)]
}

function changeText(name: string, before: string | undefined, after: string | undefined) {
  if (before === after) return []
  if (before === undefined) return [`  + ${name}${after}`]
  if (after === undefined) return [`  - ${name}${before}`]
  return [`  ~ ${name}${after}`, `    was ${before}`]
}
