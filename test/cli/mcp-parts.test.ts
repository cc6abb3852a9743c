import { mkdir, mkdtemp, realpath, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { agentNameOf } from '../../src/cli/mcp/acting.ts'
import { BoundedText } from '../../src/cli/mcp/bounded-text.ts'
import { placeOf } from '../../src/cli/mcp/places.ts'
import { StdioTransport } from '../../src/cli/mcp/stdio.ts'

describe('the name of a copilot', () => {
  test.each([
    ['Claude Code', 'claude-code'],
    ['cursor-vscode', 'cursor-vscode'],
    ['Visual Studio Code', 'visual-studio-code'],
    ['--Ä b!', 'b'],
    ['', 'mcp'],
    ['x'.repeat(100), 'x'.repeat(63)],
  ])('of a client called %j is %s', (client, name) => {
    expect(agentNameOf(client)).toBe(name)
  })
})

describe('what a command wrote', () => {
  test('is kept whole as long as it is short', () => {
    const text = new BoundedText()
    for (const part of ['ä', 'b'.repeat(99_000)]) text.write(part)
    expect(text.kept()).toEqual({ text: `ä${'b'.repeat(99_000)}`, omitted: 0 })
  })

  test('keeps its beginning and its end, and says what is left out between', () => {
    const text = new BoundedText()
    for (let line = 0; line < 100_000; line++) text.write(`line ${line}\n`)
    const { text: kept, omitted } = text.kept()
    expect(kept.startsWith('line 0\nline 1\n')).toBe(true)
    expect(kept.endsWith('line 99998\nline 99999\n')).toBe(true)
    expect(kept).toContain(`[jit: ${omitted} bytes left out here]`)
    expect(kept.length).toBeLessThan(100_100)
    expect(omitted).toBe(text.total - 100_000)
  })
})

describe('where a command may run', () => {
  let top = ''

  async function folders() {
    top = await realpath(await mkdtemp(join(tmpdir(), 'jit-mcp-')))
    await mkdir(join(top, 'repo/deep'), { recursive: true })
    await mkdir(join(top, 'other'))
    await symlink(join(top, 'other'), join(top, 'repo/way-out'))
    return { repo: join(top, 'repo'), other: join(top, 'other') }
  }
  afterEach(() => rm(top, { recursive: true, force: true }))

  test('is the first root, unless a folder below one is named', async () => {
    const { repo, other } = await folders()
    const place = { roots: [pathToFileURL(repo).href, pathToFileURL(other).href], cwd: '/' }
    expect(await placeOf(undefined, place)).toBe(repo)
    expect(await placeOf('deep', place)).toBe(join(repo, 'deep'))
    expect(await placeOf(other, place)).toBe(other)
  })

  test('is where the server was started, for a client without roots', async () => {
    const { repo } = await folders()
    expect(await placeOf(undefined, { roots: [], cwd: repo })).toBe(repo)
    expect(await placeOf('deep', { roots: [], cwd: repo })).toBe(join(repo, 'deep'))
  })

  test.each(['..', '../other', '/', 'way-out', 'no-such-folder', '../repo-twin'])(
    'is not %s',
    async (directory) => {
      const { repo } = await folders()
      await mkdir(join(top, 'repo-twin'))
      const place = { roots: [pathToFileURL(repo).href], cwd: top }
      await expect(placeOf(directory, place)).rejects.toMatchObject({ code: 'usage' })
    },
  )
})

describe('the transport', () => {
  function opened() {
    const [input, output] = [new PassThrough(), new PassThrough()]
    const transport = new StdioTransport({ input, output })
    const messages: unknown[] = []
    let closed = 0
    transport.onmessage = (message) => messages.push(message)
    transport.onclose = () => {
      closed += 1
    }
    const answers = () => String(output.read() ?? '').trim()
    return { input, output, transport, messages, answers, closed: () => closed }
  }
  const ping = { jsonrpc: '2.0', id: 1, method: 'ping' }

  test('takes messages however they are cut into pieces', async () => {
    const { input, transport, messages } = opened()
    await transport.start()
    const bytes = Buffer.from(
      `${JSON.stringify({ ...ping, method: 'ä' })}\r\n${JSON.stringify(ping)}\n`,
    )
    for (const byte of bytes) input.write(Buffer.from([byte]))
    await new Promise((resolve) => setImmediate(resolve))
    expect(messages).toEqual([{ ...ping, method: 'ä' }, ping])
  })

  test.each([
    ['what is no JSON', '{"jsonrpc":', { error: { code: -32700, message: 'not JSON' } }],
    ['a batch', '[{"jsonrpc":"2.0","id":1,"method":"ping"}]', { error: { code: -32600 } }],
    [
      'another version',
      '{"jsonrpc":"1.0","id":"a","method":"ping"}',
      { id: 'a', error: { code: -32600 } },
    ],
    ['what is no object', '42', { error: { code: -32600 } }],
    ['a message that is too long', `"${'x'.repeat(5_000_000)}"`, { error: { code: -32600 } }],
  ])('answers %s with an error, and goes on', async (_, line, error) => {
    const { input, transport, messages, answers, closed } = opened()
    await transport.start()
    input.write(`${line}\n${JSON.stringify(ping)}\n`)
    await new Promise((resolve) => setImmediate(resolve))
    expect(JSON.parse(answers())).toMatchObject({ jsonrpc: '2.0', ...error })
    expect(messages).toEqual([ping])
    expect(closed()).toBe(0)
  })

  test('closes once, with its input', async () => {
    const { input, transport, closed } = opened()
    await transport.start()
    input.end()
    await new Promise((resolve) => setImmediate(resolve))
    await transport.close()
    expect(closed()).toBe(1)
    await expect(transport.send({ ...ping, jsonrpc: '2.0' })).resolves.toBeUndefined()
  })
})
