import { stripVTControlCharacters } from 'node:util'
import type { Reporter, TestCase } from 'vitest/node'

/** Tells at the end which cases passed at their second try only, and what the first met. */
export default class FlakyReporter implements Reporter {
  readonly #flaky: TestCase[] = []

  onTestCaseResult(test: TestCase): void {
    if (test.diagnostic()?.flaky) this.#flaky.push(test)
  }

  onTestRunEnd(): void {
    for (const test of this.#flaky) {
      const errors = test.result().errors ?? []
      const met = errors.map(({ message }) => stripVTControlCharacters(message)).join('\n')
      const { name } = test.project
      process.stdout.write(
        ` FLAKY  ${name}  ${test.module.relativeModuleId} > ${test.fullName}\n${met}\n\n`,
      )
    }
  }
}
