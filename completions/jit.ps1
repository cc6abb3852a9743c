# PowerShell completion of jit. Made from the command tree of jit by scripts/completions.ts: change that, not this file.

Register-ArgumentCompleter -Native -CommandName jit -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $below = @{
        '' = [ordered]@{ 'login' = 'sign in at a broker'; 'logout' = 'end the session at the broker with all its grants, and forget it here'; 'whoami' = 'say who you are to the broker'; 'status' = 'show my session, my live grants and sandboxes and what waits, with the time left'; 'exec' = 'run a command with just the access its task needs, for as long as it runs'; 'request' = 'ask ahead of time for what jit exec --grant uses later'; 'init' = 'write a .jit.yaml for this repository, from what may be asked for here'; 'trust' = 'trust this repository''s .jit.yaml as it is now'; 'approve' = 'approve a request that waits for me, after a look at all of it'; 'deny' = 'deny a request that waits for me'; 'acknowledge' = 'take note of a grant that broke the glass'; 'grants' = 'list live grants, requests that wait, and sandboxes'; 'show' = 'show one grant'; 'revoke' = 'end grants now, take back requests that wait, stop copilots, end people''s access'; 'audit' = 'print the audit log, hand it on, or check that nobody changed it'; 'sandbox' = 'run a copilot where it can ask for access, and reach nothing else'; 'mcp' = 'serve a copilot on stdin and stdout (Model Context Protocol)'; 'hook' = 'print what a shell evaluates to show live grants in its prompt'; 'prompt' = 'print the live grants of this machine as one line, for a prompt'; 'completion' = 'print the script that completes jit in a shell'; 'dev' = 'run a broker and an OIDC provider on loopback, for development'; 'broker' = 'serve the broker'; 'policy' = 'policies as code'; 'doctor' = 'look for what is wrong, and say what to do about it'; 'help' = 'show help for a command' }
        'broker' = [ordered]@{ 'rotate-keys' = 'publish the next signing keys, or withdraw keys that somebody else may have'; 'quarantine' = 'list credentials of this ledger that it knows nothing of, and leaves alone'; 'adopt' = 'revoke credentials in quarantine: the broker that made them is gone'; 'restored' = 'after a backup was put in place of the store: end every session in it' }
        'policy' = [ordered]@{ 'check' = 'validate the *.cedar files of a folder against what broker.yaml declares'; 'test' = 'run the *.cases.yaml beside the policies: requests, and what should come of them'; 'explain' = 'why policy says what it says: of a grant, a case, or a request given by flags'; 'help' = 'show help for a command' }
    }
    $flags = @{
        '' = [ordered]@{ '-V' = 'print the version'; '--version' = 'print the version'; '-h' = 'show help'; '--help' = 'show help' }
        'login' = [ordered]@{ '--browser' = 'sign in through a browser on this machine, without a code'; '--open' = 'open the page to confirm at, without asking'; '--fresh' = 'sign in anew, and go on with the session that is there'; '--acr' = 'the same, with this authentication context; may be repeated'; '--yes' = 'trust a broker that is new to this machine, without asking'; '--workload' = 'sign the job in that this is: github, gitlab, spiffe, kubernetes, env:NAME, file:PATH'; '--agent' = 'sign a copilot in as itself, beside you'; '--delegate' = 'hand your session on to it, without a sign-in'; '--task' = 'with --delegate: only this task; may be repeated'; '--env' = 'only this environment; may be repeated'; '--target' = 'only this target; may be repeated'; '--ttl' = 'for how long at most, such as 1h'; '--json' = 'print one JSON event a line'; '-h' = 'show help'; '--help' = 'show help' }
        'logout' = [ordered]@{ '--agent' = 'the session of this copilot, instead of your own'; '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'whoami' = [ordered]@{ '--agent' = 'what this copilot is, instead of you'; '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'status' = [ordered]@{ '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'exec' = [ordered]@{ '--env' = 'environment to work in'; '--task' = 'what is to be done'; '--target' = 'only this target; may be repeated'; '--ttl' = 'for how long, such as 15m; then it is renewed or ends'; '--reason' = 'why, for the record and for approvers'; '--ticket' = 'the ticket it belongs to'; '--label' = 'a label that the broker declares; may be repeated'; '--deliver' = 'env: credentials in the environment; proxy: used for the command, which never holds them'; '--dry-run' = 'ask for nothing: say what would be asked, answered and set'; '--break-glass' = 'an emergency: approvers are told, and somebody has to acknowledge it'; '--wait' = 'wait for approval no longer than this'; '--no-wait' = 'do not wait for approval: leave the request, and say how to go on'; '--grant' = 'use a request that was made before'; '--min-ttl' = 'refuse to start with less time left'; '--receipt' = 'write the receipt there, as JSON'; '--mask' = 'mask secrets in what the command writes'; '-q' = 'say nothing unless something fails'; '--quiet' = 'say nothing unless something fails'; '--json' = 'errors as JSON, and nothing else of its own'; '-h' = 'show help'; '--help' = 'show help' }
        'request' = [ordered]@{ '--env' = 'environment to work in'; '--task' = 'what is to be done'; '--target' = 'only this target; may be repeated'; '--ttl' = 'for how long, such as 15m; then it is renewed or ends'; '--reason' = 'why, for the record and for approvers'; '--ticket' = 'the ticket it belongs to'; '--label' = 'a label that the broker declares; may be repeated'; '--deliver' = 'env: credentials in the environment; proxy: used for the command, which never holds them'; '--dry-run' = 'ask for nothing: say what would be asked, answered and set'; '--break-glass' = 'an emergency: approvers are told, and somebody has to acknowledge it'; '--wait' = 'until it is approved'; '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'init' = [ordered]@{ '--env' = 'environment that its profile is for'; '--task' = 'what is to be done there'; '--target' = 'only this target; may be repeated'; '--ttl' = 'for how long, such as 15m'; '--name' = 'what the profile is called'; '--command' = 'a command it is for: ''make deploy *''; may be repeated'; '--force' = 'in place of the one that is there'; '--yes' = 'without asking anything, and trust it'; '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'trust' = [ordered]@{ '--yes' = 'without asking'; '--remove' = 'trust it no longer'; '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'approve' = [ordered]@{ '--watch' = 'go on and show each new request'; '--yes' = 'without asking; needs the id'; '--json' = 'print one JSON object; with --watch one a line'; '-h' = 'show help'; '--help' = 'show help' }
        'deny' = [ordered]@{ '--reason' = 'why: the requester is told'; '--yes' = 'without asking; needs the id'; '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'acknowledge' = [ordered]@{ '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'grants' = [ordered]@{ '--mine' = 'my own (the default)'; '--all' = 'everyone''s, as far as policy lets you see them'; '--watch' = 'go on and show what becomes of them, until q or Ctrl-C'; '--json' = 'print one JSON object; with --watch one a line, at each change'; '-h' = 'show help'; '--help' = 'show help' }
        'show' = [ordered]@{ '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'revoke' = [ordered]@{ '--mine' = 'all of my own'; '--all' = 'everyone''s, with their sessions: all have to sign in again'; '--user' = 'one principal''s, with their sessions: they have to sign in again'; '--agent' = 'stop copilots of that name: their sessions, grants and sandboxes'; '--json' = 'print one JSON receipt a line; with --all, --user or --agent one object'; '-h' = 'show help'; '--help' = 'show help' }
        'audit' = [ordered]@{ '--follow' = 'go on with what is new, until interrupted'; '--verify' = 'recompute its chain, check its signed head and what receipts said of it'; '--export' = 'hand it on, resumable'; '--to' = 'with --export: a file to add to, or an https endpoint to post to'; '--cursor' = 'with --export: where it keeps how far it got'; '--headers' = 'with --export: ''Name: value'' lines to send to the endpoint'; '--json' = 'print one JSON entry a line; one object with --verify'; '-h' = 'show help'; '--help' = 'show help' }
        'sandbox' = [ordered]@{ '--profile' = 'a profile of config.yaml (default: the one named like the command)'; '--agent' = 'what the copilot is called (default: like the command)'; '--env' = 'it may ask for this environment alone; may be repeated'; '--task' = 'only for this task; may be repeated'; '--target' = 'only for this target; may be repeated'; '--ttl' = 'for how long at most, such as 1h'; '-q' = 'say nothing unless something fails'; '--quiet' = 'say nothing unless something fails'; '--json' = 'errors as JSON, and nothing else of its own'; '-h' = 'show help'; '--help' = 'show help' }
        'mcp' = [ordered]@{ '--agent' = 'what the copilot is; absent: by the client''s name'; '-h' = 'show help'; '--help' = 'show help' }
        'hook' = [ordered]@{ '--no-prompt' = 'only keep JIT_PROMPT up to date, for a prompt that shows it itself'; '-h' = 'show help'; '--help' = 'show help' }
        'prompt' = [ordered]@{ '--format' = 'plain, ansi, or a template: ''{environment}:{task} {left}'''; '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'completion' = [ordered]@{ '-h' = 'show help'; '--help' = 'show help' }
        'dev' = [ordered]@{ '--port' = 'port to listen on (default: one that is free)'; '--data' = 'keep keys, ledger, policies and sign-ins there (default: nothing is kept)'; '--postgres' = 'admin URL of a PostgreSQL: adds the targets dev-db and prod-db'; '--json' = 'print one line of JSON when ready'; '-h' = 'show help'; '--help' = 'show help' }
        'broker' = [ordered]@{ '--config' = 'its broker.yaml'; '--log-level' = 'how much it logs'; '-h' = 'show help'; '--help' = 'show help' }
        'broker rotate-keys' = [ordered]@{ '--purpose' = 'only keys of one purpose; all unless given'; '--compromised' = 'new keys sign at once, and nothing the old ones signed counts'; '--yes' = 'don''t ask'; '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'broker quarantine' = [ordered]@{ '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'broker adopt' = [ordered]@{ '--all' = 'all that are in quarantine now'; '--yes' = 'don''t ask'; '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'broker restored' = [ordered]@{ '--yes' = 'don''t ask'; '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'policy' = [ordered]@{ '-h' = 'show help'; '--help' = 'show help' }
        'policy check' = [ordered]@{ '--config' = 'the broker''s configuration (broker.yaml in or beside the folder)'; '--strict' = 'fail on warnings too'; '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'policy test' = [ordered]@{ '--config' = 'the broker''s configuration (broker.yaml in or beside the folder)'; '--min-coverage' = 'fail when fewer of the policies decide in some case'; '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'policy explain' = [ordered]@{ '--case' = 'a case of a *.cases.yaml file: FILE#NAME'; '--config' = 'the broker''s configuration (broker.yaml beside the case, or here)'; '--principal' = 'who asks: human, agent or pipeline; human:ID for one of them'; '--group' = 'a group they are in; may be repeated'; '--owner' = 'an agent''s person, whose groups --group gives'; '--task' = 'what is asked for'; '--env' = 'and where'; '--target' = 'only this target; may be repeated'; '--ttl' = 'for how long'; '--reason' = 'why'; '--ticket' = 'a ticket'; '--label' = 'a label; may be repeated'; '--repository' = 'where they stand; signed of a pipeline, else claimed'; '--branch' = 'and on which branch'; '--approval' = 'an approval, GROUP=2 for two; may be repeated'; '--age' = 'how long ago they signed in'; '--acr' = 'and in which authentication context'; '--time' = 'when it is asked: 2026-01-05T09:30:00Z'; '--break-glass' = 'as an emergency'; '--delivery' = 'how credentials are to arrive: env or proxy'; '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'policy help' = [ordered]@{  }
        'doctor' = [ordered]@{ '--broker' = 'of a broker, on its own machine: store, keys, policies, targets'; '--config' = 'with --broker: its broker.yaml'; '--json' = 'print one JSON object'; '-h' = 'show help'; '--help' = 'show help' }
        'help' = [ordered]@{  }
    }
    $values = @{
        'login --workload' = @('github', 'gitlab', 'spiffe', 'kubernetes', 'env:', 'file:')
        'login --agent' = @('?', 'agents')
        'login --task' = @('?', 'tasks')
        'login --env' = @('?', 'environments')
        'login --target' = @('?', 'targets')
        'logout --agent' = @('?', 'agents')
        'whoami --agent' = @('?', 'agents')
        'exec --env' = @('?', 'environments')
        'exec --task' = @('?', 'tasks')
        'exec --target' = @('?', 'targets')
        'exec --label' = @('?', 'labels')
        'exec --deliver' = @('env', 'proxy')
        'exec --grant' = @('?', 'requests')
        'exec --mask' = @('auto', 'always', 'never')
        'request --env' = @('?', 'environments')
        'request --task' = @('?', 'tasks')
        'request --target' = @('?', 'targets')
        'request --label' = @('?', 'labels')
        'request --deliver' = @('env', 'proxy')
        'init --env' = @('?', 'environments')
        'init --task' = @('?', 'tasks')
        'init --target' = @('?', 'targets')
        'revoke --agent' = @('?', 'agents')
        'audit --export' = @('jsonl')
        'sandbox --profile' = @('?', 'sandbox-profiles')
        'sandbox --agent' = @('?', 'agents')
        'sandbox --env' = @('?', 'environments')
        'sandbox --task' = @('?', 'tasks')
        'sandbox --target' = @('?', 'targets')
        'mcp --agent' = @('?', 'agents')
        'broker --log-level' = @('debug', 'info', 'warn', 'error')
        'broker rotate-keys --purpose' = @('session', 'grant', 'audit')
        'policy explain --principal' = @('human', 'agent', 'pipeline')
        'policy explain --task' = @('?', 'tasks')
        'policy explain --env' = @('?', 'environments')
        'policy explain --target' = @('?', 'targets')
        'policy explain --label' = @('?', 'labels')
        'policy explain --delivery' = @('env', 'proxy')
        'exec 0' = @('?', 'profiles')
        'request 0' = @('?', 'profiles')
        'approve 0' = @('?', 'approvals')
        'deny 0' = @('?', 'approvals')
        'acknowledge 0' = @('?', 'unacknowledged')
        'show 0' = @('?', 'grants')
        'revoke *' = @('?', 'grants')
        'hook 0' = @('bash', 'zsh', 'fish', 'pwsh')
        'completion 0' = @('bash', 'zsh', 'fish', 'pwsh')
        'policy explain 0' = @('?', 'grants')
        'help 0' = @('login', 'logout', 'whoami', 'status', 'exec', 'request', 'init', 'trust', 'approve', 'deny', 'acknowledge', 'grants', 'show', 'revoke', 'audit', 'sandbox', 'mcp', 'hook', 'prompt', 'completion', 'dev', 'broker', 'policy', 'doctor', 'help')
    }
    $taking = @('login --acr', 'login --agent', 'login --task', 'login --env', 'login --target', 'login --ttl', 'logout --agent', 'whoami --agent', 'exec --env', 'exec --task', 'exec --target', 'exec --ttl', 'exec --reason', 'exec --ticket', 'exec --label', 'exec --deliver', 'exec --wait', 'exec --grant', 'exec --min-ttl', 'exec --receipt', 'exec --mask', 'request --env', 'request --task', 'request --target', 'request --ttl', 'request --reason', 'request --ticket', 'request --label', 'request --deliver', 'init --env', 'init --task', 'init --target', 'init --ttl', 'init --name', 'init --command', 'deny --reason', 'revoke --user', 'revoke --agent', 'audit --export', 'audit --to', 'audit --cursor', 'audit --headers', 'sandbox --profile', 'sandbox --agent', 'sandbox --env', 'sandbox --task', 'sandbox --target', 'sandbox --ttl', 'mcp --agent', 'prompt --format', 'dev --port', 'dev --data', 'dev --postgres', 'broker --config', 'broker --log-level', 'broker rotate-keys --purpose', 'policy check --config', 'policy test --config', 'policy test --min-coverage', 'policy explain --case', 'policy explain --config', 'policy explain --principal', 'policy explain --group', 'policy explain --owner', 'policy explain --task', 'policy explain --env', 'policy explain --target', 'policy explain --ttl', 'policy explain --reason', 'policy explain --ticket', 'policy explain --label', 'policy explain --repository', 'policy explain --branch', 'policy explain --approval', 'policy explain --age', 'policy explain --acr', 'policy explain --time', 'policy explain --delivery', 'doctor --config')
    $wrapping = @('exec', 'request', 'sandbox')

    $words = @($commandAst.CommandElements |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } |
        ForEach-Object { $_.Extent.Text } | Select-Object -Skip 1)
    $command = ''
    $flag = ''
    $position = 0
    foreach ($word in $words) {
        # What follows is another command's: PowerShell offers files.
        if ($word -eq '--' -and $wrapping -contains $command) { return }
        if ($flag) {
            $flag = ''
        } elseif ($word.StartsWith('-')) {
            if ($taking -contains "$command $word") { $flag = $word }
        } elseif ($position -eq 0 -and $below.ContainsKey($command) -and $below[$command].Contains($word)) {
            $command = "$command $word".Trim()
        } else {
            $position += 1
        }
    }

    $current = $wordToComplete
    $before = ''
    if (-not $flag -and $current -match '^(--[a-z-]+)=(.*)$') {
        $flag = $Matches[1]
        $before = "$flag="
        $current = $Matches[2]
    }

    $found = [ordered]@{}
    if (-not $flag -and $current.StartsWith('-')) {
        $found = $flags[$command]
    } elseif (-not $flag -and $position -eq 0 -and $below.ContainsKey($command)) {
        $found = $below[$command]
    } else {
        $source = if ($flag) {
            $values["$command $flag"]
        } elseif ($values.ContainsKey("$command $position")) {
            $values["$command $position"]
        } else {
            $values["$command *"]
        }
        if ($source -and $source[0] -eq '?') {
            # Nothing that is answered is ever evaluated, and only values that mean nothing to a shell
            # are put on the command line.
            $program = Get-Command -Name jit -CommandType 'Application', 'ExternalScript' -TotalCount 1 -ErrorAction Ignore
            if ($program) {
                foreach ($line in (& $program __complete $source[1] @words 2>$null)) {
                    $value, $about = $line -split "`t", 2
                    if ($value -cmatch '^[A-Za-z0-9][A-Za-z0-9._=-]*$') { $found[$value] = $about }
                }
            }
        } else {
            foreach ($value in $source) { $found[$value] = $value }
        }
    }

    foreach ($entry in $found.GetEnumerator()) {
        if (-not $entry.Key.StartsWith($current)) { continue }
        $about = if ($entry.Value) { $entry.Value } else { $entry.Key }
        [System.Management.Automation.CompletionResult]::new("$before$($entry.Key)", $entry.Key, 'ParameterValue', $about)
    }
}
