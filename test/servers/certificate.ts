import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

/** Makes `cert.pem` and `key.pem` for `localhost`, by openssl: a certificate that vouches for itself. */
export function makeCertificate(directory: string): void {
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', cert, ...subject], {
    stdio: 'ignore',
  })
}
