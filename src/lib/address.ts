import { withoutTrailing } from './without-trailing.ts'

/** Whether a host names this machine: plain HTTP is accepted to these alone. */
export function isLoopback(url: URL): boolean {
  const host = url.hostname
  return host === 'localhost' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

/** Whether what is sent there can't be read on the way: https, or plain HTTP on this machine. */
export function isPrivateTransport(url: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url))
}

/** The URL as a name to compare and keep: no trailing slash, no query, no fragment. */
export function canonicalUrl(url: URL): string {
  return withoutTrailing(`${url.origin}${url.pathname}`, '/')
}
