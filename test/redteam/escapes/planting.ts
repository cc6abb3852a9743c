import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Escape, planted, WORD } from '../escape.ts'
import { shell } from '../tools.ts'

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
  'a hook where a person keeps them for all repositories (core.hooksPath)': '.githooks/pre-push',
  'commands of a manager of hooks': 'lefthook.yml',
  'what Git includes in its settings (include.path)': 'settings/git.inc',
  'a workflow of Forgejo': '.forgejo/workflows/ci.yml',
  'a container of an editor': '.devcontainer.json',
  "one agent's settings": '.gemini/settings.json',
  "another agent's settings": '.codex/config.toml',
  "the hooks' own folder (core.hooksPath)": '.husky/pre-commit',
} as const

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

/** One for each trick that needs one. */
export const SUBMODULES = ['lib-1', 'lib-2', 'lib-3'] as const

/** A copy of a folder of Git's with a program in its settings, which leaves `mark` where it ran. */
const evil = (from: string, to: string, mark: string) =>
  `rm -rf ${to}; cp -r ${from} ${to}; chmod -R u+w ${to}; rm -f ${to}/config ${to}/commondir
printf '[core]\\n\\tfsmonitor = "touch '"$PWD"'/${mark}; true"\\n' > ${to}/config`

/** Ways to have the person's next `git status` run something: the script, by what it changes. */
const GIT_TRICKS: Readonly<Record<string, string>> = {
  'lead Git to other settings (.git/commondir)': `
${evil('.git', 'evil-1.git', 'ran-0')}
printf '../evil-1.git' > .git/commondir`,
  'lead Git to other settings in a submodule (.git/modules/…/commondir)': `
${evil('.git/modules/lib-1', 'evil-2.git', 'ran-1')}
printf '../../../evil-2.git' > .git/modules/lib-1/commondir`,
  'lead Git to another folder for a submodule (its file .git)': `
${evil('.git/modules/lib-2', 'evil-3.git', 'ran-2')}
rm -f lib-2/.git; printf 'gitdir: ../evil-3.git' > lib-2/.git`,
  'move a submodule away and put another in its place': `
${evil('.git/modules/lib-3', 'evil-4.git', 'ran-3')}
mv lib-3 aside-lib && mkdir lib-3 && cp -r evil-4.git lib-3/.git`,
  'add a filter, a diff driver or settings of a worktree': `
printf '* filter=evil diff=evil\\n' | tee .gitattributes .git/info/attributes >/dev/null
git config filter.evil.clean "touch $PWD/ran-4"
printf '[core]\\n\\tfsmonitor = "touch ran-4"\\n' >> .git/config.worktree`,
}

const viaGit: Escape[] = Object.entries(GIT_TRICKS).map(([name, script], index) => ({
  name,
  gain: "a program that the person's next `git status` runs",
  plain: true,
  needs: ['git'],
  proof: 'effect',
  attempt: ({ repository }) => shell(script, { cwd: repository }),
  effect: async ({ repository }) => {
    const mark = join(repository, `ran-${index}`)
    await shell('touch readme.txt; git status; git diff', { cwd: repository })
    const ran = existsSync(mark)
    rmSync(mark, { force: true })
    if (index === 0 && ran) rmSync(join(repository, '.git/commondir'))
    return ran
  },
}))

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
