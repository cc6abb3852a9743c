#!/usr/bin/env node
// Plain JavaScript that an old Node can read as well, to be told so in one line.

// Node opens its inspector on SIGUSR1 unless somebody listens, and with it the tokens in memory.
process.on('SIGUSR1', () => {})

const [major, minor, patch] = process.versions.node.split('.').map(Number)
const recent =
  major > 24 ||
  (major === 24 && minor >= 15) ||
  (major === 22 && (minor > 22 || (minor === 22 && patch >= 2)))

if (recent) {
  const folder = compileCache()
  if (folder) process.getBuiltinModule('node:module').enableCompileCache(folder)
  import('../dist/main.js').then((program) => program.main(process.argv.slice(2)))
} else {
  process.stderr.write(
    `jit: error: needs Node 22.22.2 or newer of 22, or 24.15 or newer; this is ${process.versions.node}\n`,
  )
  process.exitCode = 1
}

/**
 * A folder of compiled code that nobody else can write to: Node's own choice is under /tmp, where
 * another user could plant some. None where there is no such folder: the program is just slower.
 */
function compileCache() {
  const fs = process.getBuiltinModule('node:fs')
  const path = process.getBuiltinModule('node:path')
  const { XDG_CACHE_HOME: cache, HOME: home } = process.env
  const base = cache?.startsWith('/') ? cache : home && path.join(home, '.cache')
  if (!base || !process.getuid) return undefined
  const folder = path.join(base, 'jit', 'compiled')
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
    const { uid, mode } = fs.lstatSync(folder)
    const closed = uid === process.getuid() && (mode & 0o170077) === 0o040000
    return closed ? folder : undefined
  } catch {
    return undefined
  }
}
