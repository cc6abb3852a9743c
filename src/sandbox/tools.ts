import { basename } from 'node:path'

/** What a known copilot needs of the person's home, and of the environment. Paths are below the home. */
export interface Tool {
  /** Its own state: what it remembers and how it is signed in. */
  readonly writable: readonly string[]
  /** Of that: what it would run the next time, outside a sandbox as well. */
  readonly guarded: readonly string[]
  readonly readable: readonly string[]
  /** Names of variables, none of which is a secret. */
  readonly environment: readonly string[]
}

const NONE: Tool = { writable: [], guarded: [], readable: [], environment: [] }

/** By the name of the program. What isn't here gets nothing of the home. */
const TOOLS: Readonly<Record<string, Tool>> = {
  claude: {
    writable: ['.claude'],
    guarded: [
      '.claude/settings.json',
      '.claude/settings.local.json',
      '.claude/CLAUDE.md',
      '.claude/agents',
      '.claude/commands',
      '.claude/hooks',
      '.claude/plugins',
      '.claude/skills',
    ],
    readable: ['.claude.json'],
    environment: ['ANTHROPIC_BASE_URL', 'ANTHROPIC_MODEL', 'DISABLE_TELEMETRY'],
  },
  codex: {
    writable: ['.codex'],
    guarded: ['.codex/config.toml', '.codex/AGENTS.md', '.codex/prompts', '.codex/rules'],
    readable: [],
    environment: ['OPENAI_BASE_URL'],
  },
  gemini: {
    writable: ['.gemini'],
    guarded: [
      '.gemini/settings.json',
      '.gemini/GEMINI.md',
      '.gemini/extensions',
      '.gemini/commands',
    ],
    readable: [],
    environment: ['GOOGLE_CLOUD_PROJECT', 'GOOGLE_CLOUD_LOCATION'],
  },
  aider: { ...NONE, readable: ['.aider.conf.yml', '.aider.model.settings.yml'] },
  'cursor-agent': {
    writable: ['.cursor'],
    guarded: ['.cursor/mcp.json', '.cursor/hooks.json', '.cursor/cli-config.json', '.cursor/rules'],
    readable: ['.config/cursor'],
    environment: [],
  },
  opencode: {
    writable: ['.local/share/opencode', '.local/state/opencode'],
    guarded: [],
    readable: ['.config/opencode'],
    environment: [],
  },
}

/** @param executable the path or name of the program that runs */
export function toolOf(executable: string): Tool {
  return TOOLS[basename(executable).replace(/\.(?:js|mjs|cjs|sh)$/, '')] ?? NONE
}
