import {
  closeSync,
  constants,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  watch,
} from 'node:fs'
import { homedir } from 'node:os'
import { join, relative } from 'node:path'
import type { Escape, Surroundings } from '../escape.ts'
import { python, shell } from '../tools.ts'

/** Whether it can be opened for reading and writing; nothing is read or written. */
function opens(path: string): boolean {
  closeSync(openSync(path, constants.O_RDWR | constants.O_NONBLOCK))
  return true
}

/** What lies in homes, and what for. */
export const KEPT_IN_HOMES = {
  'an SSH key': '.ssh/id_ed25519',
  'AWS keys': '.aws/credentials',
  'a Kubernetes configuration': '.kube/config',
  'a .netrc': '.netrc',
  "npm's token": '.npmrc',
  "a registry's password": '.docker/config.json',
  "the forge's token": '.config/gh/hosts.yml',
  "Git's passwords": '.git-credentials',
  "PostgreSQL's passwords": '.pgpass',
  'a GnuPG key': '.gnupg/private-keys-v1.d/key',
  'a keyring file': '.local/share/keyrings/login.keyring',
  "Google Cloud's sign-in": '.config/gcloud/credentials.db',
  "Azure's sign-in": '.azure/msal_token_cache.json',
  "Vault's token": '.vault-token',
  "Terraform's token": '.terraform.d/credentials.tfrc.json',
  "Cargo's token": '.cargo/credentials.toml',
  "PyPI's token": '.pypirc',
  "Maven's settings": '.m2/settings.xml',
  "Firefox's passwords": '.mozilla/firefox/abc.default/logins.json',
  "Chrome's cookies": '.config/google-chrome/Default/Cookies',
  "the shell's history": '.bash_history',
  "psql's history": '.psql_history',
  "another agent's key": '.codex/auth.json',
  "one more agent's key": '.gemini/oauth_creds.json',
  "another project's .env": 'other-project/.env',
  "jit's configuration": '.config/jit/config.yaml',
  "jit's stored sessions": '.local/share/jit/canary',
  'a file in the runtime folder': 'run/other-program/token',
} as const

const readings: Escape[] = Object.entries(KEPT_IN_HOMES).map(([what, path]) => ({
  name: `read ${what} (~/${path})`,
  gain: 'a standing credential, or what leads to one',
  plain: true,
  proof: 'secret',
  attempt: ({ home }) => readFileSync(join(home, path), 'utf8'),
}))

/** The hidden file that the detours below go for. */
const KEY = KEPT_IN_HOMES['an SSH key']

/** Ways round a name that is closed. */
const detours: Record<
  string,
  (s: Surroundings) => string | undefined | Promise<string | undefined>
> = {
  'through a symbolic link in the repository': ({ home, repository }) => {
    const link = join(repository, 'link-out')
    symlinkSync(join(home, KEY), link)
    try {
      return readFileSync(link, 'utf8')
    } finally {
      rmSync(link)
    }
  },
  'by a hard link in the repository': ({ home, repository }) => {
    const link = join(repository, 'hard-link')
    linkSync(join(home, KEY), link)
    try {
      return readFileSync(link, 'utf8')
    } finally {
      rmSync(link)
    }
  },
  'relative to the working directory': ({ home, repository }) =>
    readFileSync(`${repository}/${relative(repository, join(home, KEY))}`, 'utf8'),
  'through /proc/self/root': ({ home }) => readFileSync(`/proc/self/root${home}/${KEY}`, 'utf8'),
  'through /proc/self/cwd': ({ home, repository }) =>
    readFileSync(`/proc/self/cwd/${relative(repository, join(home, KEY))}`, 'utf8'),
  'through the root of any process': async ({ home, victim }) =>
    shell(`for p in ${victim} $(ls /proc); do cat /proc/$p/root${home}/${KEY} && exit; done`),
  'from a set-up of mounts of its own': ({ home }) =>
    shell(
      `unshare -Urm sh -c 'mkdir -p /dev/shm/m; mount --rbind / /dev/shm/m; umount -l ${home}; umount -l /tmp; cat ${home}/${KEY} || cat /dev/shm/m${home}/${KEY}'`,
    ),
}

const roundabout: Escape[] = Object.entries(detours).map(([way, attempt]) => ({
  name: `read a hidden file ${way}`,
  gain: 'whatever lies in the home',
  plain: true,
  proof: 'secret',
  attempt,
}))

/** Mounts that the kernel lets its own user namespaces make; each was a way round a mount on top, once. */
const mounts: Record<string, string> = {
  'a bind of the root without what is mounted on it':
    "check(libc.mount(b'/', b'/mnt', b'', 4096, 0), 'mount')",
  'unmounting what hides it':
    "[libc.umount2(p.encode(), 2) for p in (home, os.path.dirname(home), '/tmp', '/root', '/home')]",
  'a copy of the tree (open_tree)': 'os.chdir(call(428, 428, -100, b"/", 1))',
  'an overlay of the root':
    "check(libc.mount(b'overlay', b'/mnt', b'overlay', 0, b'lowerdir=/:/usr'), 'mount')",
  'another root (chroot)': "check(libc.chroot(b'/proc/self/root/..'), 'chroot')",
}

const remounts: Escape[] = Object.entries(mounts).map(([way, step]) => ({
  name: `read a hidden file by ${way}, in a user namespace of its own`,
  gain: 'whatever lies in the home',
  plain: way.startsWith('another root'),
  needs: ['python3'],
  proof: 'secret',
  attempt: ({ home }) =>
    python(
      `home, key = sys.argv[1], sys.argv[2]
own_user_namespace()
try:
    ${step}
finally:
    for top in ('/mnt', '.', ''):
        try: print(open(top + home + '/' + key).read())
        except OSError as error: print(error)`,
      [home, KEY],
    ),
}))

const others: Escape[] = [
  {
    name: "list the home's folders",
    gain: 'what there is to steal, and from whom',
    plain: true,
    proof: 'secret',
    attempt: ({ home }) =>
      ['', '.ssh', '.aws', '.config', '.config/gh', '.config/jit', '.local/share/jit']
        .flatMap((folder) => {
          try {
            return readdirSync(join(home, folder))
          } catch {
            return []
          }
        })
        .join('\n'),
  },
  {
    name: 'read what other programs keep among temporary files',
    gain: 'sockets, tokens and dumps of other programs',
    plain: true,
    proof: 'secret',
    attempt: ({ temporaryFile }) => readFileSync(temporaryFile, 'utf8'),
  },
  {
    name: 'read a hidden file by its handle (open_by_handle_at)',
    gain: 'whatever lies on the same disk',
    plain: false,
    needs: ['python3'],
    proof: 'secret',
    attempt: ({ fileHandle }) =>
      python(
        `raw = bytes.fromhex(sys.argv[1])
for flags in (0, 0o200000):
    handle = ctypes.create_string_buffer(raw)
    fd = libc.open_by_handle_at(os.open('/', os.O_RDONLY), handle, flags)
    if fd >= 0: print(os.read(fd, 4096).decode())
sys.exit(os.strerror(ctypes.get_errno()))`,
        [fileHandle],
      ),
  },
  {
    name: 'read the disk, the memory or the log of the machine as a device',
    gain: 'everything on it',
    plain: false,
    proof: 'claim',
    attempt: () =>
      ['/dev/mem', '/dev/kmem', '/dev/kmsg', '/dev/sda', '/dev/vda', '/dev/nvme0n1', '/proc/kcore']
        .concat('/proc/kmsg', '/dev/fuse', '/dev/kvm', '/dev/dri/card0', '/dev/input/event0')
        .find((path) => {
          try {
            return opens(path)
          } catch {
            return false
          }
        }),
  },
  {
    name: 'watch a hidden folder for changes',
    gain: 'when the person signs in, and where',
    plain: true,
    proof: 'secret',
    attempt: ({ home }) =>
      new Promise((resolve, reject) => {
        const watcher = watch(join(home, '.ssh'), (_event, file) => {
          watcher.close()
          resolve(String(file))
        })
        watcher.on('error', reject)
        setTimeout(() => {
          watcher.close()
          reject(new Error('nothing was seen'))
        }, 1_000)
      }),
  },
  {
    name: "ask for the person's home by another name",
    gain: 'whatever lies in the home',
    plain: false,
    proof: 'secret',
    attempt: ({ home }) =>
      shell(
        `cat ~/${KEY} ${homedir()}/${KEY} /proc/*/cwd/${KEY} /mnt/*${home}/${KEY} /run/host${home}/${KEY} /oldroot${home}/${KEY} /newroot${home}/${KEY} 2>&1`,
      ),
  },
]

/** What lies in files. */
export const files: readonly Escape[] = [...readings, ...roundabout, ...remounts, ...others]
