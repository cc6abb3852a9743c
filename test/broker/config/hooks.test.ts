import { describe, expect, test } from 'vitest'
import { read, refusal, SAMPLE } from './sample.ts'

const URL = 'https://hooks.slack.com/services/T0/B0/x'
const withLine = (line: string) => `${SAMPLE}${line}\n`

describe('events:', () => {
  test('an entry speaks for its own issuer and to this broker, unless it says otherwise', () => {
    const own = '{ issuer: https://idp.acme.dev }'
    const other =
      '{ issuer: https://ssf.acme.dev, audience: jit, jwks_uri: https://ssf.acme.dev/k, identity: https://idp.acme.dev }'
    expect(read(withLine(`events: [${own}, ${other}]`)).events).toEqual([
      {
        issuer: 'https://idp.acme.dev',
        audience: 'https://jit.acme.dev',
        identity: 'https://idp.acme.dev',
      },
      {
        issuer: 'https://ssf.acme.dev',
        audience: 'jit',
        jwksUri: 'https://ssf.acme.dev/k',
        identity: 'https://idp.acme.dev',
      },
    ])
  })

  test.each([
    [
      'of people whom nobody signs in',
      '{ issuer: https://ssf.acme.dev }',
      "events.0.issuer: expected a people's issuer of identity:, or identity: with the one it speaks for",
    ],
    [
      'for an issuer that is not there',
      '{ issuer: https://ssf.acme.dev, identity: https://x.dev }',
      "events.0.identity: expected a people's issuer of identity:",
    ],
    [
      'twice',
      '{ issuer: https://idp.acme.dev }, { issuer: https://idp.acme.dev }',
      'events.1.issuer: expected each issuer once',
    ],
    [
      'whose keys could be exchanged on the way',
      '{ issuer: https://idp.acme.dev, jwks_uri: http://idp.acme.dev/k }',
      'events.0.jwks_uri: expected https, or http on loopback',
    ],
  ])('a transmitter %s is a mistake', (_, entry, message) => {
    expect(refusal(withLine(`events: [${entry}]`)).message).toContain(message)
  })
})

describe('notify:', () => {
  test('a webhook is told of both, unless it says otherwise', () => {
    const hooks = `notify: { slack: { url: env:SLACK, secret: env:S }, pager: { url: ${URL}, secret: file:k, on: [break_glass], groups: [platform-oncall] } }`
    expect(read(withLine(hooks)).notify).toEqual({
      slack: { url: 'env:SLACK', secret: 'env:S', on: ['pending', 'break_glass'] },
      pager: { url: URL, secret: 'file:k', on: ['break_glass'], groups: ['platform-oncall'] },
    })
  })

  test.each([
    ['url: http://chat.acme.dev/x, secret: env:S', 'notify.a.url: expected an https URL'],
    [`url: ${URL}, secret: hunter2`, 'notify.a.secret: expected a reference'],
    [`url: ${URL}`, 'notify.a.secret: expected a value: this key is required'],
    [`url: ${URL}, secret: env:S, on: [granted]`, 'notify.a.on.0: expected pending or break_glass'],
    [
      `url: ${URL}, secret: env:S, groups: [shop-devs]`,
      'notify.a.groups.0: not declared under approvers',
    ],
  ])('%s is a mistake', (entry, message) => {
    const mistake = refusal(withLine(`notify: { a: { ${entry} } }`))
    expect(mistake.message).toContain(message)
    expect(mistake.message).not.toContain('hunter2')
  })
})
