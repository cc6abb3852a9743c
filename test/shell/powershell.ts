import { createRequire } from 'node:module'
import { Language, type Node, Parser } from 'web-tree-sitter'

await Parser.init()
const grammar = createRequire(import.meta.url).resolve(
  'tree-sitter-powershell/tree-sitter-powershell.wasm',
)
const parser = new Parser().setLanguage(await Language.load(grammar))

/** What a script is made of, by the grammar of PowerShell: it has never run here. */
export interface Parsed {
  /** Where the grammar doesn't know what to make of it. */
  readonly mistakes: readonly string[]
  /** What is called: each name once, sorted; a variable where the name is in one. */
  readonly calls: readonly string[]
}

export function parsePowerShell(script: string): Parsed {
  const root = parser.parse(script)?.rootNode
  if (!root) throw new Error('not parsed')
  const calls = root.descendantsOfType(['command_name', 'command_name_expr']).map(textOf)
  const defined = root.descendantsOfType('function_name').map(textOf)
  const own = new Set(defined.map((name) => name.replace(/^global:/, '')))
  return {
    mistakes: mistakesIn(root),
    calls: [...new Set(calls)].filter((name) => !own.has(name)).sort(),
  }
}

const textOf = (node: Node | null): string => node?.text ?? ''

function mistakesIn(node: Node): string[] {
  if (node.isError || node.isMissing) {
    return [`line ${node.startPosition.row + 1}: ${node.text.slice(0, 60)}`]
  }
  return node.hasError ? node.children.flatMap((child) => (child ? mistakesIn(child) : [])) : []
}
