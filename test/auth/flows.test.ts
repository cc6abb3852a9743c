import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SignInDemands } from '../../src/auth/demands.ts'
import { signInByDevice } from '../../src/auth/device.ts'
import { signInByBrowser } from '../../src/auth/loopback.ts'
import { confirmDevice, walkLogin } from '../servers/browser.ts'
import { type SignInServer, startSignInServer } from '../servers/sign-in.ts'

let server: SignInServer
beforeAll(async () => {
  server = await startSignInServer()
})
afterAll(() => server.close())

const provider = () => ({
  issuer: server.issuer,
  clientId: 'jit-cli',
  scopes: [],
  verificationHosts: [],
})
const signal = new AbortController().signal

/** What the identity token of a sign-in by `dev` says. */
const flows = {
  loopback: async (demands: SignInDemands) => {
    const onAddress = (address: URL) => void walkLogin(address, { login: 'dev' })
    return signInByBrowser({ provider: provider(), demands, onAddress, signal })
  },
  device: async (demands: SignInDemands) => {
    const onVerification = ({ uriComplete }: { uriComplete?: URL }) =>
      void confirmDevice({ verificationUriComplete: String(uriComplete), login: 'dev' })
    return signInByDevice({ provider: provider(), demands, onVerification, signal })
  },
}

async function claims(flow: keyof typeof flows, demands: SignInDemands) {
  const { idToken } = await flows[flow](demands)
  return JSON.parse(Buffer.from(idToken.split('.')[1] ?? '', 'base64url').toString())
}

test.each(['loopback', 'device'] as const)(
  'the %s flow carries what a sign-in is for and how strong it has to be into the identity token',
  async (flow) => {
    const now = Math.floor(Date.now() / 1000)
    const demands = { maxAge: 0, acrValues: ['urn:jit:mfa'], nonce: 'of-a-request' }
    const said = await claims(flow, demands)
    expect(said).toMatchObject({ nonce: 'of-a-request', acr: 'urn:jit:mfa', amr: ['user', 'mfa'] })
    expect(said.auth_time).toBeGreaterThanOrEqual(now)
  },
)

test.each(['loopback', 'device'] as const)(
  'a sign-in through the %s flow that is for nothing special carries no nonce',
  async (flow) => {
    expect(await claims(flow, {})).not.toHaveProperty('nonce')
  },
)
