import type { Context } from 'hono'
import { JitError } from '../lib/errors.ts'

/**
 * The fields of a request's form.
 * @throws JitError `request_invalid` where its body isn't the form that it says it is
 */
export async function readForm(c: Context): Promise<Record<string, unknown>> {
  try {
    return await c.req.parseBody()
  } catch (cause) {
    throw new JitError('request_invalid', 'expected a form', { cause })
  }
}
