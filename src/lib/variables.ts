/** Variables that decide what a program loads, runs or trusts: setting one is running code of one's choice. */
const REFUSED = new Set([
  'PATH',
  'HOME',
  'SHELL',
  'USER',
  'LOGNAME',
  'TMPDIR',
  'TERM',
  'PWD',
  'OLDPWD',
  'ENV',
  'BASH_ENV',
  'BASHOPTS',
  'SHELLOPTS',
  'IFS',
  'PS4',
  'PROMPT_COMMAND',
  'CDPATH',
  'ZDOTDIR',
  'EDITOR',
  'VISUAL',
  'PAGER',
  'BROWSER',
  'NODE_OPTIONS',
  'NODE_PATH',
  'NODE_EXTRA_CA_CERTS',
  'NODE_TLS_REJECT_UNAUTHORIZED',
  'RUBYOPT',
  'RUBYLIB',
  'JAVA_TOOL_OPTIONS',
  '_JAVA_OPTIONS',
  'JDK_JAVA_OPTIONS',
  'MAVEN_OPTS',
  'GCONV_PATH',
  'HOSTALIASES',
  'LOCPATH',
  'NLSPATH',
  'RES_OPTIONS',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'OPENSSL_CONF',
  'OPENSSL_MODULES',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'ALL_PROXY',
  'NO_PROXY',
])

const REFUSED_PREFIXES = [
  'LD_',
  'DYLD_',
  'BASH_FUNC_',
  'GIT_',
  'SSH_',
  'PYTHON',
  'PERL',
  'XDG_',
  'JIT_',
  'npm_',
]

/** Whether a target's configuration may set this variable in a child. Case is ignored, as some platforms do. */
export function isSettableVariable(name: string): boolean {
  const upper = name.toUpperCase()
  if (REFUSED.has(upper)) return false
  return !REFUSED_PREFIXES.some((prefix) => upper.startsWith(prefix.toUpperCase()))
}
