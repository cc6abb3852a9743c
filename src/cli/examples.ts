/** Lines to start from, by command: in its help and in the manual. */
export const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  '': [
    'jit dev',
    'jit login https://jit.acme.dev',
    'jit exec --env prod --task deploy -- terraform apply',
    'eval "$(jit completion bash)"',
  ],
  login: [
    'jit login https://jit.acme.dev',
    'jit login --browser',
    'jit login --agent claude --delegate --task plan --ttl 1h',
  ],
  exec: [
    'jit exec --env prod --task deploy --reason "release 41" -- terraform apply',
    'jit exec deploy -- terraform apply',
    'jit exec --grant g_01m83zq3m6e31azc1yb9jd5v2k -- terraform apply',
  ],
  request: ['jit request --env prod --task deploy --reason "release 41" -- terraform apply'],
  trust: ['jit trust'],
  approve: ['jit approve', 'jit approve --watch'],
  deny: ['jit deny --reason "not on a Friday"'],
  grants: ['jit grants --all'],
  show: ['jit show g_01m83zq3m6e31azc1yb9jd5v2k'],
  revoke: ['jit revoke --mine', 'jit revoke --user dana@acme.dev', 'jit revoke --agent claude'],
  audit: ['jit audit --verify'],
  sandbox: ['jit sandbox -- claude', 'jit sandbox --env dev --ttl 1h -- bash'],
  completion: ['eval "$(jit completion bash)"', 'jit completion fish | source'],
  broker: ['jit broker --config /etc/jit/broker.yaml'],
  dev: ['jit dev --data ./jit-dev'],
  'policy check': ['jit policy check --strict ./policies'],
  'policy test': ['jit policy test --min-coverage 90'],
  'policy explain': ['jit policy explain --principal human --env prod --task deploy'],
}
