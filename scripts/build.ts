/** Bundles the program into dist/, split so that a command loads only what it uses. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { build, type Plugin } from 'esbuild'

/**
 * commander loads `node:child_process`, and with it all of networking, for a way of calling
 * subcommands that `jit` doesn't use: a fifth of the whole start-up. It gets it when it asks.
 */
const lazyChildProcess: Plugin = {
  name: 'lazy-child-process',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:child_process$/ }, ({ path, importer }) =>
      importer.includes('/node_modules/commander/') ? { path, namespace: 'lazy' } : undefined,
    )
    onLoad({ filter: /.*/, namespace: 'lazy' }, ({ path }) => ({
      contents: `export default { get spawn() { return process.getBuiltinModule('${path}').spawn } }`,
    }))
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

const { metafile } = await build({
  entryPoints: ['src/main.ts'],
  outdir: 'dist',
  metafile: true,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node22.22',
  // The server's parts stay packages: they load their own files (Cedar's WebAssembly, the
  // provider's views) or native code (keytar), and no client command starts with them.
  external: ['@cedar-policy/cedar-wasm', 'keytar', 'oidc-provider', 'pg', 'kysely'],
  minifySyntax: true,
  minifyWhitespace: true,
  plugins: [lazyChildProcess, lazyBuiltins],
  sourcemap: false,
  legalComments: 'none',
  banner: {
    // CommonJS packages inside the bundle ask for `require`.
    js: "const require=process.getBuiltinModule('node:module').createRequire(import.meta.url);",
  },
})

// Only now, so that a program that runs meanwhile finds its parts.
for (const file of await readdir('dist')) {
  const path = join('dist', file)
  if (!(path in metafile.outputs)) await rm(path, { recursive: true })
}
