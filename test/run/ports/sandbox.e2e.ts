import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Ports } from '../../../src/run/ports/ports.ts'
import { sandboxPorts } from '../../../src/run/ports/sandbox-ports.ts'
import { absent, needsSandbox, SANDBOX } from '../../absent.ts'
import { results, setStage, supervise } from '../../sandbox/stage.ts'
import { Api, issueCertificate, trust } from './api.ts'
import { tokenCredential } from './credentials.ts'

const TOKEN = 'canary-of-the-token'
const FETCH = `
  const headers = { authorization: "Bearer " + process.env.API_TOKEN }
  const response = await fetch(process.env.API_URL + "/node", { headers })
  console.log(response.status)`

describe.skipIf(absent(...SANDBOX))(needsSandbox, () => {
  let trusted: Disposable
  let api: Api
  let other: Api
  beforeAll(async () => {
    const issued = await issueCertificate('localhost')
    trusted = trust(issued.ca)
    api = await Api.start(issued)
    other = await Api.start()
  })
  afterAll(async () => {
    trusted?.[Symbol.dispose]()
    await api?.[Symbol.asyncDispose]()
    await other?.[Symbol.asyncDispose]()
  })

  test('what is inside uses a token by the sandbox’s own proxy, and nowhere else', async () => {
    const stage = setStage()
    const shared = join(stage.runtime, 'shared')
    mkdirSync(shared, { recursive: true, mode: 0o700 })
    let routes: [string, string][] = []
    const ports: Ports = sandboxPorts({
      linkPort: 7421,
      socket: join(stage.runtime, 'http'),
      folder: shared,
      route: (sockets) => {
        routes = [...sockets]
      },
    })
    const { env } = await ports.deliver(tokenCredential(api.url('localhost'), TOKEN))
    const variables = Object.entries(env).map(([name, value]) => `export ${name}='${value}'`)
    const running = supervise(
      stage,
      `${variables.join('\n')}
      ask() { curl --silent --max-time 5 --header "authorization: Bearer $API_TOKEN" "$@"; }
      code() { ask --output /dev/null --write-out '%{http_code}' "$1"; }
      for _ in $(seq 100); do [ "$(code "$API_URL/ready")" = 200 ] && break; sleep 0.1; done
      echo "used: $(ask "$API_URL/things")"
      echo "node: $('${process.execPath}' --input-type=module --eval '${FETCH}' 2>&1)"
      echo "elsewhere: $(code '${other.url('localhost')}')"
      echo "socket: $(ls '${join(stage.runtime, 'http')}' 2>&1)"
      echo "key: $(cat '${shared}'/* | grep -c 'PRIVATE KEY')"`,
      { profile: { readable: [shared], writable: [], hidden: [], readOnly: [], environment: [] } },
    )
    await running.started
    running.process.send({ route: routes })
    const { output } = await running.done
    await ports.close()
    const { used = '', node, elsewhere, socket, key } = results(output)
    expect(JSON.parse(used).authorization).toBe(`Bearer ${env.API_TOKEN}`)
    expect(api.seen.at(-1)?.headers.authorization).toBe(`Bearer ${TOKEN}`)
    expect({ node, elsewhere, key }).toEqual({ node: '200', elsewhere: '403', key: '0' })
    expect(socket).toContain('No such file')
    expect(other.seen).toEqual([])
    expect(output).not.toContain(TOKEN)
  })
})
