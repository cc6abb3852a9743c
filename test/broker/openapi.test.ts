import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { openApiDocument } from '../../src/broker/openapi.ts'
import { RESOURCE_METADATA_PATH, SERVER_METADATA_PATH } from '../../src/protocol/oauth.ts'

const BROKER = resolve(import.meta.dirname, '../../src/broker')
const CONSTANTS: Readonly<Record<string, string>> = { RESOURCE_METADATA_PATH, SERVER_METADATA_PATH }

/** `app.get('/path'` and `app.post(CONSTANT` as they stand in the sources. */
function routesInSources(): string[] {
  const files = [join(BROKER, 'app.ts')].concat(
    readdirSync(join(BROKER, 'routes')).map((file) => join(BROKER, 'routes', file)),
  )
  return files.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/app\.(get|post)\(\s*(?:'([^']+)'|(\w+))/g)].map(
      ([, method, path, constant]) => `${method} ${path ?? CONSTANTS[constant ?? '']}`,
    ),
  )
}

test('the OpenAPI document describes every route, and no other but itself and the WebSockets', () => {
  const { paths } = openApiDocument('https://jit.test')
  const described = Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method} ${path.replace('{id}', ':id')}`),
  )
  const routes = routesInSources().filter((route) => route !== 'get /openapi.json')
  expect(described.toSorted()).toEqual(
    [...routes, 'get /v1/lifeline', 'get /v1/sandbox'].toSorted(),
  )
})

test('what it refers to is there', () => {
  const document = openApiDocument('https://jit.test')
  const names = Object.keys(document.components.schemas)
  const references = JSON.stringify(document).matchAll(/#\/components\/schemas\/(\w+)/g)
  for (const [, name] of references) expect(names).toContain(name)
})
