import { describe, expect, test } from 'vitest'
import { systemCallFilter } from '../../src/sandbox/syscalls.ts'

const [ALLOW, EPERM, EAFNOSUPPORT, ENOSYS, KILL] = [
  0x7fff0000, 0x50001, 0x50061, 0x50026, 0x80000000,
]

interface Call {
  readonly number: number
  readonly architecture: number
  readonly arguments?: readonly number[]
}

/** What the kernel would answer: the few instructions that the filter is made of (Linux: filter.rst). */
function answer(program: Buffer, call: Call): number {
  const data = Buffer.alloc(64)
  data.writeInt32LE(call.number, 0)
  data.writeUInt32LE(call.architecture, 4)
  for (const [index, value] of (call.arguments ?? []).entries()) {
    data.writeBigUInt64LE(BigInt(value), 16 + 8 * index)
  }
  let loaded = 0
  for (let at = 0; at < program.length; at += 8) {
    const [code, value] = [program.readUInt16LE(at), program.readUInt32LE(at + 4)]
    const jump = (holds: boolean) => 8 * program.readUInt8(at + (holds ? 2 : 3))
    if (code === 0x20) loaded = data.readUInt32LE(value)
    else if (code === 0x54) loaded = (loaded & value) >>> 0
    else if (code === 0x15) at += jump(loaded === value)
    else if (code === 0x35) at += jump(loaded >= value)
    else if (code === 0x45) at += jump((loaded & value) !== 0)
    else if (code === 0x06) return value
    else throw new Error(`unknown instruction ${code}`)
  }
  throw new Error('the program has no end')
}

describe.each([
  {
    name: 'x64',
    architecture: 0xc000003e,
    numbers: {
      keyctl: 250,
      socket: 41,
      ioctl: 16,
      openat: 257,
      openat2: 437,
      fchmodat: 268,
      read: 0,
    },
  },
  {
    name: 'arm64',
    architecture: 0xc00000b7,
    numbers: {
      keyctl: 219,
      socket: 198,
      ioctl: 29,
      openat: 56,
      openat2: 437,
      fchmodat: 53,
      read: 63,
    },
  },
])('the filter of system calls on $name', ({ name, architecture, numbers }) => {
  const filter = systemCallFilter(name)
  const on = (call: keyof typeof numbers, ...values: number[]) =>
    answer(filter, { architecture, number: numbers[call], arguments: values })

  test('lets through what programs do', () => {
    expect(on('read', 0, 0, 1)).toBe(ALLOW)
    expect(on('openat', 0, 0, 0o101, 0o644)).toBe(ALLOW)
    expect(on('fchmodat', 0, 0, 0o755)).toBe(ALLOW)
    expect([1, 2, 10, 16].map((family) => on('socket', family, 1, 0))).toEqual(Array(4).fill(ALLOW))
    expect(on('ioctl', 0, 0x5401)).toBe(ALLOW)
  })

  test('refuses keyrings, other families, typing into terminals', () => {
    expect(on('keyctl', 11)).toBe(EPERM)
    expect([40, 17, 38].map((family) => on('socket', family, 1, 0))).toEqual(
      Array(3).fill(EAFNOSUPPORT),
    )
    expect([0x5412, 0x541c].map((request) => on('ioctl', 0, request))).toEqual([EPERM, EPERM])
  })

  test('lets no set-user-ID file be made, however it is asked for', () => {
    expect(on('fchmodat', 0, 0, 0o4755)).toBe(EPERM)
    expect(on('openat', 0, 0, 0o101, 0o4755)).toBe(EPERM)
    expect(on('openat', 0, 0, 0o20200002, 0o4700)).toBe(EPERM)
    expect(on('openat2')).toBe(ENOSYS)
  })

  test('knows no second numbers for the same calls', () => {
    for (const number of [0x40000000 + numbers.keyctl, 0x40000000 + numbers.read, -1]) {
      expect(answer(filter, { architecture, number })).toBe(ENOSYS)
    }
  })

  test('takes no mode for one where nothing is made', () => {
    expect(on('openat', 0, 0, 0, 0o4755)).toBe(ALLOW)
  })

  test('ends a program that calls in another architecture’s way', () => {
    expect(answer(filter, { architecture: 0x40000003, number: 359 })).toBe(KILL)
  })
})

test('an architecture that nobody has tried is refused', () => {
  expect(() => systemCallFilter('riscv64')).toThrow('no sandbox on riscv64')
})
