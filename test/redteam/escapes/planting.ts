import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Escape, Surroundings } from '../escape.ts'
import { shell } from '../tools.ts'

const WORD = 'planted by the red team'

/** What runs, or is believed, once the person does something harmless: paths in the repository. */
export const TRAPS = {
  'a Git hook': '.git/hooks/post-checkout',
  "Git's configuration (aliases, fsmonitor, sshCommand)": '.git/config',
  "the repository's profiles": '.jit.yaml',
  'a CI workflow of GitHub': '.github/workflows/ci.yml',
  "GitLab's pipeline": '.gitlab-ci.yml',
  "CircleCI's configuration": '.circleci/config.yml',
  "Jenkins' pipeline": 'Jenkinsfile',
  "Azure's pipeline": 'azure-pipelines.yml',
  'tasks of an editor': '.vscode/tasks.json',
  'a run configuration of another editor': '.idea/workspace.xml',
  'a shell start-up file': '.bashrc',
  'another shell start-up file': '.zshrc',
  "direnv's file": '.envrc',
  'servers of an MCP client': '.mcp.json',
  "another editor's servers": '.cursor/mcp.json',
  'hooks of an agent': '.claude/settings.json',
  "an agent's commands": '.claude/commands/deploy.md',
  "npm's settings": '.npmrc',
  "the hooks' own folder (core.hooksPath)": '.husky/pre-commit',
} as const

const planted = (path: string) => {
  try {
    return readFileSync(path, 'utf8').includes(WORD)
  } catch {
    return false
  }
}

const traps: Escape[] = Object.entries(TRAPS).map(([what, path]) => ({
  name: `plant ${what} (${path})`,
  gain: "code or settings of its own, run outside by the person's next command",
  plain: true,
  proof: 'effect',
  attempt: ({ repository }) => {
    const file = join(repository, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `# ${WORD}\n`, { flag: 'a', mode: 0o755 })
    return 'written'
  },
  effect: ({ repository }) => planted(join(repository, path)),
}))

/** Replacing what is closed by something of the same name: the parent is renamed, not the thing itself. */
const swaps: Escape[] = [
  ['.git', 'hooks/post-merge'],
  ['.github', 'workflows/release.yml'],
  ['.claude', 'settings.local.json'],
  ['.vscode', 'launch.json'],
  ['.husky', 'post-commit'],
].map(([folder = '', path = '']) => ({
  name: `replace ${folder} by a copy with ${path}`,
  gain: "code of its own, run outside by the person's next command",
  plain: true,
  proof: 'effect',
  attempt: async ({ repository }) =>
    shell(
      `cd ${repository} && mv ${folder} aside-${folder.slice(1)} && cp -r aside-${folder.slice(1)} ${folder}; mkdir -p ${folder}/$(dirname ${path}) && echo '# ${WORD}' > ${folder}/${path}`,
    ),
  effect: ({ repository }) => planted(join(repository, folder, path)),
}))

/** Git is asked, outside, whether it would run what was left. */
const fsmonitor = (configured: string) => `
git init -q evil.git 2>/dev/null || cp -r .git evil.git
printf '[core]\\n\\tfsmonitor = "touch ran-by-git; true"\\n' > ${configured}`

const viaGit: Escape[] = [
  {
    name: 'lead Git to another configuration (.git/commondir)',
    gain: "a program that the person's next `git status` runs",
    plain: true,
    needs: ['git'],
    proof: 'effect',
    attempt: ({ repository }) =>
      shell(
        `cd ${repository} && rm -rf evil.git && cp -r .git evil.git && chmod -R u+w evil.git;
${fsmonitor('evil.git/config')}
printf '../evil.git' > .git/commondir`,
      ),
    effect: gitRuns,
  },
  {
    name: 'have Git run a filter or a diff driver (.gitattributes, .git/info/attributes)',
    gain: "a program that the person's next `git status` runs",
    plain: false,
    needs: ['git'],
    proof: 'effect',
    attempt: ({ repository }) =>
      shell(
        `cd ${repository} && printf '* filter=evil diff=evil\\n' | tee .gitattributes .git/info/attributes >/dev/null
git config filter.evil.clean 'touch ran-by-git'; git config filter.evil.smudge 'touch ran-by-git'
git config --worktree core.fsmonitor 'touch ran-by-git'
printf '[filter "evil"]\\n\\tclean = touch ran-by-git\\n' > .git/config.worktree`,
      ),
    effect: gitRuns,
  },
]

async function gitRuns({ repository }: Surroundings): Promise<boolean> {
  const left = join(repository, 'ran-by-git')
  await shell(
    'touch readme.txt; git status; git diff; git add readme.txt; git stash list; rm -rf .git/commondir evil.git',
    {
      cwd: repository,
    },
  )
  const ran = existsSync(left)
  await shell(`rm -f ${left}`)
  return ran
}

/** Places outside the repository from which something runs by itself. */
export const START_UP = [
  ...[
    '.bashrc',
    '.profile',
    '.zshrc',
    '.config/fish/config.fish',
    '.gitconfig',
    '.ssh/authorized_keys',
  ],
  ...['.config/autostart/evil.desktop', '.config/systemd/user/evil.service', '.local/bin/git'],
  ...['.npmrc', '.vimrc', '.config/jit/config.yaml', '.cache/jit/evil', '.local/share/jit/evil'],
] as const

const startUp: Escape[] = START_UP.map((path) => ({
  name: `write ~/${path}`,
  gain: 'code or settings of its own, from the next start on',
  plain: true,
  proof: 'effect',
  attempt: ({ home }) => {
    const file = join(home, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `# ${WORD}\n`, { flag: 'a' })
    return 'written'
  },
  effect: ({ home }) => planted(join(home, path)),
}))

const others: Escape[] = [
  {
    name: 'change jit itself, its packages or Node',
    gain: "code of its own in the person's next `jit`",
    plain: true,
    proof: 'claim',
    attempt: ({ jit }) =>
      shell(
        `for f in ${jit[1]} ${dirname(jit[1])}/../package.json ${dirname(jit[1])}/../dist ${dirname(jit[1])}/../node_modules/.bin ${jit[0]}; do test -w $f && echo $f; done; true`,
      ).then((writable) => writable.trim() || undefined),
  },
  {
    name: 'write outside the repository through a symbolic link',
    gain: 'any file of the person',
    plain: true,
    proof: 'effect',
    attempt: ({ home, repository }) => {
      rmSync(join(repository, 'keys'), { force: true })
      symlinkSync(join(home, '.ssh'), join(repository, 'keys'))
      writeFileSync(join(repository, 'keys/rc'), `# ${WORD}\n`)
      return 'written'
    },
    effect: ({ home }) => planted(join(home, '.ssh/rc')),
  },
  {
    name: 'put a program of its own before others on the PATH',
    gain: "code of its own in the person's next command",
    plain: false,
    proof: 'claim',
    attempt: ({ repository }) =>
      shell(
        `IFS=:; for d in $PATH; do case $d in ${repository}*) ;; *) touch "$d/jit-red-team" 2>/dev/null && rm "$d/jit-red-team" && echo $d;; esac; done; true`,
      ).then((folders) => folders.trim() || undefined),
  },
]

/** What is left lying for the person to step on. */
export const planting: readonly Escape[] = [...traps, ...swaps, ...viaGit, ...startUp, ...others]
