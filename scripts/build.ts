/** Bundles the program into dist/, split so that a command loads only what it uses. */
import { rm } from 'node:fs/promises'
import { build } from 'esbuild'

await rm('dist', { recursive: true, force: true })
await build({
  entryPoints: ['src/main.ts'],
  outdir: 'dist',
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
  keepNames: true,
  sourcemap: false,
  legalComments: 'none',
  banner: {
    // CommonJS packages inside the bundle ask for `require`.
    js: "import{createRequire as __jitRequire}from'node:module';const require=__jitRequire(import.meta.url);",
  },
})
