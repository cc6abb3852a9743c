import { describe, expect, it } from 'vitest'
import { fitsCommand } from '../../src/context/command-pattern.ts'

describe('a pattern of commands:', () => {
  it.each([
    ['terraform apply', 'terraform apply', true],
    ['terraform apply', 'terraform apply -auto-approve', false],
    ['terraform apply *', 'terraform apply', true],
    ['terraform apply *', 'terraform apply -auto-approve -input=false', true],
    ['terraform apply *', 'terraform plan', false],
    ['terraform * plan.out', 'terraform apply plan.out', true],
    ['terraform * plan.out', 'terraform plan.out', false],
    ['npm run deploy:*', 'npm run deploy:prod', true],
    ['npm run deploy:*', 'npm run deploy', false],
    ['npm run *:prod:*x', 'npm run a:prod:b:prod:x', true],
    ['make a*a', 'make a', false],
    ['terraform apply', './terraform apply', false],
    ['*', 'anything at all', true],
  ])('%j, given %j: %j', (pattern, command, fits) => {
    expect(fitsCommand(pattern, command.split(' '))).toBe(fits)
  })

  it('sees arguments as they are, with spaces and stars of their own', () => {
    expect(fitsCommand('psql -c *', ['psql', '-c', 'select 1; drop'])).toBe(true)
    expect(fitsCommand('make deploy', ['make deploy'])).toBe(false)
    expect(fitsCommand('make deploy', ['make', '*'])).toBe(false)
  })

  it('takes no longer for a word made for it', () => {
    const before = process.cpuUsage()
    expect(fitsCommand(`${'*a'.repeat(120)}b x`, ['a'.repeat(30_000), 'x'])).toBe(false)
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(1000)
  })
})
