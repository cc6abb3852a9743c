import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'

const requests = new AsyncLocalStorage<string>()

/** The header that an answer names its request's id in, so that a report of it leads to the log. */
export const REQUEST_ID_HEADER = 'X-Request-Id'

/** The id of the request that this is done for; nothing where it is done by itself. */
export function requestId(): string | undefined {
  return requests.getStore()
}

/** Does `work` as one request, under a new id. It is never the client's to choose: it stands in the log. */
export function asRequest<T>(work: (id: string) => T): T {
  const id = randomUUID()
  return requests.run(id, () => work(id))
}
