import type { PolicySet } from '../policy/decide.ts'
import { loadPolicies } from '../policy/load.ts'
import { type BrokerConfig, vocabularyOf } from './config/config.ts'

/** The policies in force: a bad set never replaces a good one. */
export class Policies {
  readonly #config: BrokerConfig
  #current: PolicySet

  private constructor(config: BrokerConfig, current: PolicySet) {
    this.#config = config
    this.#current = current
  }

  /** @throws JitError `policy_invalid` */
  static async load(config: BrokerConfig): Promise<Policies> {
    return new Policies(config, await loadPolicies(config.policies, vocabularyOf(config)))
  }

  get current(): PolicySet {
    return this.#current
  }

  /**
   * Reads the directory again.
   * @throws JitError `policy_invalid`; the set before stays in force
   */
  async reload(): Promise<void> {
    this.#current = await loadPolicies(this.#config.policies, vocabularyOf(this.#config))
  }
}
