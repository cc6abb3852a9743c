/**
 * Bundles the program into dist/: `main.js` loads the client's one file, `start.js`, whose parts are
 * evaluated when they are used; the server's are chunks beside, that no client command reads, and what
 * `jit mcp` and a sandbox are made of has files of its own. One file because Node's module loader takes
 * a millisecond or two for each.
 */
import { copyFile, readdir, rm } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { type BuildOptions, build, type Plugin } from 'esbuild'

/**
 * Parts of Node that a package loads for a way of use that may not come: commander all of networking
 * for subcommands that are programs, ws TLS for a broker on loopback. They get them when they ask.
 */
const LAZY: Readonly<Record<string, RegExp>> = {
  commander: /^node:child_process$/,
  ws: /^(https|tls|zlib)$/,
}

const lazyParts: Plugin = {
  name: 'lazy-parts',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:)?\w+$/ }, ({ path, importer }) => {
      const [, name = ''] = /\/node_modules\/([^/]+)\//.exec(importer) ?? []
      return LAZY[name]?.test(path) ? { path, namespace: 'lazy' } : undefined
    })
    onLoad({ filter: /.*/, namespace: 'lazy' }, ({ path }) => {
      const names = Object.keys(process.getBuiltinModule(path) ?? {})
      const getters = names.map((name) => `get ${name}() { return load().${name} }`)
      return {
        contents: `const load = () => process.getBuiltinModule('${path}')
          module.exports = { ${getters.join(', ')} }`,
      }
    })
  },
}

/**
 * An ES import of a part of Node reads each of its exports, and with them parts that load only when
 * they are read: half of a command's start-up. This takes the exports that are used, and no others.
 */
const lazyBuiltins: Plugin = {
  name: 'lazy-builtins',
  setup({ onResolve, onLoad }) {
    // Each importer has its own, so that they come to lie together.
    onResolve({ filter: /^node:/ }, ({ path, kind, importer }) =>
      kind === 'import-statement'
        ? { path: importer, suffix: `?${path}`, namespace: 'builtin', sideEffects: false }
        : undefined,
    )
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ suffix }) => {
      const id = suffix.slice(1)
      const named = Object.keys(process.getBuiltinModule(id) ?? {})
        .filter((name) => /^[A-Za-z_$][\w$]*$/.test(name) && name !== 'default')
        .map(
          (name) => `const own_${name} = /* @__PURE__ */ (() => part.${name})()
          export { own_${name} as ${name} }`,
        )
      const part = `const part = /* @__PURE__ */ process.getBuiltinModule('${id}')`
      return { contents: [part, 'export default part', ...named].join('\n') }
    })
  },
}

const SRC = resolve('src')
/** Rooms that only the server's side and its commands enter. */
const SERVER = /^(broker|dev|policy|targets)\//
const ERRORS = 'lib/errors.ts'
/** Parts of the client with a file of their own: all of it, and what brings a package that one command needs. */
const CLIENT: Readonly<Record<string, string>> = {
  'cli/start.ts': 'start',
  'cli/complete.ts': 'complete',
  'cli/mcp/serve.ts': 'mcp',
  'sandbox/wrap.ts': 'sandbox-wrap',
  'sandbox/domain-server.ts': 'sandbox-domains',
  'telemetry/otel.ts': 'tracing',
}
const RUNTIME = '@anthropic-ai/sandbox-runtime'

/** Server modules that commands load, by their file in src/. */
const serverEntries = new Set<string>()
const serverFile = (module: string) => module.replaceAll('/', '-').replace(/\.ts$/, '')

/** Leaves out what has a file of its own: the errors (one class for all), the client, the server's entries. */
function apart(up: string): Plugin {
  return {
    name: 'apart',
    setup({ onResolve }) {
      onResolve({ filter: /^\.{1,2}\/.*\.ts$/ }, ({ path, resolveDir, kind, importer }) => {
        const module = relative(SRC, resolve(resolveDir, path))
        if (module === ERRORS) return { path: `${up}/errors.js`, external: true }
        if (kind !== 'dynamic-import') return undefined
        const file = CLIENT[module]
        if (file) return { path: `${up}/${file}.js`, external: true }
        if (!SERVER.test(module) || SERVER.test(relative(SRC, importer))) return undefined
        serverEntries.add(module)
        return { path: `./server/${serverFile(module)}.js`, external: true }
      })
    },
  }
}

const shared = {
  bundle: true,
  metafile: true,
  format: 'esm',
  platform: 'node',
  target: 'node22.22',
  // These stay packages: they load their own files (Cedar's WebAssembly) or native code (keytar).
  external: ['@cedar-policy/cedar-wasm', 'keytar', RUNTIME],
  minifySyntax: true,
  minifyWhitespace: true,
  sourcemap: false,
  legalComments: 'none',
  banner: {
    // CommonJS packages inside the bundle ask for `require`.
    js: "const require=process.getBuiltinModule('node:module').createRequire(import.meta.url);",
  },
} satisfies BuildOptions

const client = await Promise.all([
  build({ ...shared, entryPoints: ['src/lib/errors.ts'], outdir: 'dist' }),
  ...Object.entries({ 'main.ts': 'main', ...CLIENT }).map(([module, out]) =>
    build({
      ...shared,
      entryPoints: [{ in: join('src', module), out }],
      outdir: 'dist',
      plugins: [apart('.'), lazyParts, lazyBuiltins],
      // A package in one file starts in half the time; what it needs of its own is given to it by path.
      external: shared.external.filter((name) => name !== RUNTIME || !out.startsWith('sandbox-')),
    }),
  ),
])
const server = await build({
  ...shared,
  entryPoints: [...serverEntries].map((module) => ({
    in: join('src', module),
    out: serverFile(module),
  })),
  outdir: 'dist/server',
  splitting: true,
  // The provider stores its models by the name of their class.
  keepNames: true,
  plugins: [apart('..'), lazyBuiltins],
})

/** Files of their own: what a sandbox starts with, and what a shell is given. */
const SCRIPTS = {
  'src/sandbox': ['entry.sh', 'caretaker.sh'],
  'src/shell': ['hook.bash', 'hook.zsh', 'hook.fish', 'hook.ps1'],
}
for (const [room, scripts] of Object.entries(SCRIPTS)) {
  for (const script of scripts) await copyFile(join(room, script), join('dist', script))
}

// Only now, so that a program that runs meanwhile finds its parts.
const outputs = [
  ...[...client, server].flatMap(({ metafile }) => Object.keys(metafile.outputs)),
  ...Object.values(SCRIPTS).flatMap((scripts) => scripts.map((script) => join('dist', script))),
]
for (const file of await readdir('dist', { recursive: true, withFileTypes: true })) {
  const path = join(file.parentPath, file.name)
  if (file.isFile() && !outputs.includes(path)) await rm(path)
}
