/** Why a port ends a connection, as its client is told: never with a credential in it. */
export class Refusal extends Error {
  /** PostgreSQL's code for it (manual, appendix A). */
  readonly sqlState: string

  constructor(sqlState: string, message: string) {
    super(message)
    this.sqlState = sqlState
  }
}
