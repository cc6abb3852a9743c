import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

export const ROOT = resolve(import.meta.dirname, '../..')

/** One page of the documentation. */
export interface Page {
  /** From the top of the repository: `docs/broker.md`. */
  readonly path: string
  readonly text: string
}

export function page(path: string): Page {
  return { path, text: readFileSync(join(ROOT, path), 'utf8') }
}

/** README.md, once there is one, and every page of docs/. */
export function allPages(): Page[] {
  const docs = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'))
  const paths = [...docs.map((name) => `docs/${name}`), 'README.md']
  return paths.filter((path) => existsSync(join(ROOT, path))).map(page)
}

/** A fenced block with what stands behind the opening fence. */
export interface Block {
  readonly info: string
  readonly text: string
  /** Of the fence, from 1. */
  readonly line: number
}

export function blocksOf({ text }: Page): Block[] {
  return [...text.matchAll(/^```([^\n]*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    info: match[1] ?? '',
    text: match[2] ?? '',
    line: text.slice(0, match.index).split('\n').length,
  }))
}

/** A page without its blocks: what is prose. */
export function proseOf({ text }: Page): string {
  return text.replace(/^```[^\n]*\n[\s\S]*?^```$/gm, '')
}
