# fish completion of jit. Made from the command tree of jit by scripts/completions.ts: change that, not this file.

# The command that is being typed: 'exec', 'policy check'; '--' once a command of its own has begun.
function __jit_path
    set -l tokens (commandline -opc)
    set -l path
    for token in $tokens[2..-1]
        switch $token
            case --
                contains -- "$path" 'exec' 'request' 'sandbox'; and set path --; and break
            case '-*'
            case '*'
                test -z "$path"; and set path $token; and continue
                contains -- "$path" 'broker' 'policy'; and set path "$path $token"
        end
    end
    echo -- $path
end

function __jit_at
    test "$(__jit_path)" = "$argv[1]"
end

# What there is to ask for now. Nothing that is answered is ever evaluated, and only values that mean
# nothing to a shell are put on the command line.
function __jit_asked
    set -l tokens (commandline -opc)
    command jit __complete $argv[1] $tokens[2..-1] 2>/dev/null </dev/null |
        string match -r '^[A-Za-z0-9][A-Za-z0-9._=-]*(?:\\t.*)?$'
end

# The command after `--`, completed as itself.
function __jit_wrapped
    set -l tokens (commandline -opc)
    set -l at (contains -i -- -- $tokens)
    set -l words (string escape -- $tokens[(math $at + 1)..-1])
    complete -C "$words $(commandline -ct)"
end

complete -c jit -e
complete -c jit -f
complete -c jit -n '__jit_at --' -x -a '(__jit_wrapped)'

complete -c jit -n '__jit_at \'\'' -a login -d 'sign in at a broker'
complete -c jit -n '__jit_at \'\'' -a logout -d 'end the session at the broker with all its grants, and forget it here'
complete -c jit -n '__jit_at \'\'' -a whoami -d 'say who you are to the broker'
complete -c jit -n '__jit_at \'\'' -a status -d 'show my session, my live grants and sandboxes and what waits, with the time left'
complete -c jit -n '__jit_at \'\'' -a exec -d 'run a command with just the access its task needs, for as long as it runs'
complete -c jit -n '__jit_at \'\'' -a request -d 'ask ahead of time for what jit exec --grant uses later'
complete -c jit -n '__jit_at \'\'' -a init -d 'write a .jit.yaml for this repository, from what may be asked for here'
complete -c jit -n '__jit_at \'\'' -a trust -d 'trust this repository\'s .jit.yaml as it is now'
complete -c jit -n '__jit_at \'\'' -a approve -d 'approve a request that waits for me, after a look at all of it'
complete -c jit -n '__jit_at \'\'' -a deny -d 'deny a request that waits for me'
complete -c jit -n '__jit_at \'\'' -a acknowledge -d 'take note of a grant that broke the glass'
complete -c jit -n '__jit_at \'\'' -a grants -d 'list live grants, requests that wait, and sandboxes'
complete -c jit -n '__jit_at \'\'' -a show -d 'show one grant'
complete -c jit -n '__jit_at \'\'' -a revoke -d 'end grants now, take back requests that wait, stop copilots, end people\'s access'
complete -c jit -n '__jit_at \'\'' -a audit -d 'print the audit log, hand it on, or check that nobody changed it'
complete -c jit -n '__jit_at \'\'' -a sandbox -d 'run a copilot where it can ask for access, and reach nothing else'
complete -c jit -n '__jit_at \'\'' -a mcp -d 'serve a copilot on stdin and stdout (Model Context Protocol)'
complete -c jit -n '__jit_at \'\'' -a hook -d 'print what a shell evaluates to show live grants in its prompt'
complete -c jit -n '__jit_at \'\'' -a prompt -d 'print the live grants of this machine as one line, for a prompt'
complete -c jit -n '__jit_at \'\'' -a completion -d 'print the script that completes jit in a shell'
complete -c jit -n '__jit_at \'\'' -a dev -d 'run a broker and an OIDC provider on loopback, for development'
complete -c jit -n '__jit_at \'\'' -a broker -d 'serve the broker'
complete -c jit -n '__jit_at \'\'' -a policy -d 'policies as code'
complete -c jit -n '__jit_at \'\'' -a doctor -d 'look for what is wrong, and say what to do about it'
complete -c jit -n '__jit_at \'\'' -a help -d 'show help for a command'
complete -c jit -n '__jit_at \'\'' -s V -l version -d 'print the version'
complete -c jit -n '__jit_at \'\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'login\'' -l browser -d 'sign in through a browser on this machine, without a code'
complete -c jit -n '__jit_at \'login\'' -l open -d 'open the page to confirm at, without asking'
complete -c jit -n '__jit_at \'login\'' -l fresh -d 'sign in anew, and go on with the session that is there'
complete -c jit -n '__jit_at \'login\'' -l acr -x -r -d 'the same, with this authentication context; may be repeated'
complete -c jit -n '__jit_at \'login\'' -l yes -d 'trust a broker that is new to this machine, without asking'
complete -c jit -n '__jit_at \'login\'' -l workload -x -a 'github gitlab spiffe kubernetes env: file:' -d 'sign the job in that this is: github, gitlab, spiffe, kubernetes, env:NAME, file:PATH'
complete -c jit -n '__jit_at \'login\'' -l agent -x -a '(__jit_asked agents)' -r -d 'sign a copilot in as itself, beside you'
complete -c jit -n '__jit_at \'login\'' -l delegate -d 'hand your session on to it, without a sign-in'
complete -c jit -n '__jit_at \'login\'' -l task -x -a '(__jit_asked tasks)' -r -d 'with --delegate: only this task; may be repeated'
complete -c jit -n '__jit_at \'login\'' -l env -x -a '(__jit_asked environments)' -r -d 'only this environment; may be repeated'
complete -c jit -n '__jit_at \'login\'' -l target -x -a '(__jit_asked targets)' -r -d 'only this target; may be repeated'
complete -c jit -n '__jit_at \'login\'' -l ttl -x -r -d 'for how long at most, such as 1h'
complete -c jit -n '__jit_at \'login\'' -l json -d 'print one JSON event a line'
complete -c jit -n '__jit_at \'login\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'logout\'' -l agent -x -a '(__jit_asked agents)' -r -d 'the session of this copilot, instead of your own'
complete -c jit -n '__jit_at \'logout\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'logout\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'whoami\'' -l agent -x -a '(__jit_asked agents)' -r -d 'what this copilot is, instead of you'
complete -c jit -n '__jit_at \'whoami\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'whoami\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'status\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'status\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'exec\'' -x -a '(__jit_asked profiles)'
complete -c jit -n '__jit_at \'exec\'' -l env -x -a '(__jit_asked environments)' -r -d 'environment to work in'
complete -c jit -n '__jit_at \'exec\'' -l task -x -a '(__jit_asked tasks)' -r -d 'what is to be done'
complete -c jit -n '__jit_at \'exec\'' -l target -x -a '(__jit_asked targets)' -r -d 'only this target; may be repeated'
complete -c jit -n '__jit_at \'exec\'' -l ttl -x -r -d 'for how long, such as 15m; then it is renewed or ends'
complete -c jit -n '__jit_at \'exec\'' -l reason -x -r -d 'why, for the record and for approvers'
complete -c jit -n '__jit_at \'exec\'' -l ticket -x -r -d 'the ticket it belongs to'
complete -c jit -n '__jit_at \'exec\'' -l label -x -a '(__jit_asked labels)' -r -d 'a label that the broker declares; may be repeated'
complete -c jit -n '__jit_at \'exec\'' -l deliver -x -a 'env proxy' -r -d 'env: credentials in the environment; proxy: used for the command, which never holds them'
complete -c jit -n '__jit_at \'exec\'' -l dry-run -d 'ask for nothing: say what would be asked, answered and set'
complete -c jit -n '__jit_at \'exec\'' -l break-glass -d 'an emergency: approvers are told, and somebody has to acknowledge it'
complete -c jit -n '__jit_at \'exec\'' -l wait -x -r -d 'wait for approval no longer than this'
complete -c jit -n '__jit_at \'exec\'' -l no-wait -d 'do not wait for approval: leave the request, and say how to go on'
complete -c jit -n '__jit_at \'exec\'' -l grant -x -a '(__jit_asked requests)' -r -d 'use a request that was made before'
complete -c jit -n '__jit_at \'exec\'' -l min-ttl -x -r -d 'refuse to start with less time left'
complete -c jit -n '__jit_at \'exec\'' -l receipt -F -r -d 'write the receipt there, as JSON'
complete -c jit -n '__jit_at \'exec\'' -l mask -x -a 'auto always never' -r -d 'mask secrets in what the command writes'
complete -c jit -n '__jit_at \'exec\'' -s q -l quiet -d 'say nothing unless something fails'
complete -c jit -n '__jit_at \'exec\'' -l json -d 'errors as JSON, and nothing else of its own'
complete -c jit -n '__jit_at \'exec\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'request\'' -x -a '(__jit_asked profiles)'
complete -c jit -n '__jit_at \'request\'' -l env -x -a '(__jit_asked environments)' -r -d 'environment to work in'
complete -c jit -n '__jit_at \'request\'' -l task -x -a '(__jit_asked tasks)' -r -d 'what is to be done'
complete -c jit -n '__jit_at \'request\'' -l target -x -a '(__jit_asked targets)' -r -d 'only this target; may be repeated'
complete -c jit -n '__jit_at \'request\'' -l ttl -x -r -d 'for how long, such as 15m; then it is renewed or ends'
complete -c jit -n '__jit_at \'request\'' -l reason -x -r -d 'why, for the record and for approvers'
complete -c jit -n '__jit_at \'request\'' -l ticket -x -r -d 'the ticket it belongs to'
complete -c jit -n '__jit_at \'request\'' -l label -x -a '(__jit_asked labels)' -r -d 'a label that the broker declares; may be repeated'
complete -c jit -n '__jit_at \'request\'' -l deliver -x -a 'env proxy' -r -d 'env: credentials in the environment; proxy: used for the command, which never holds them'
complete -c jit -n '__jit_at \'request\'' -l dry-run -d 'ask for nothing: say what would be asked, answered and set'
complete -c jit -n '__jit_at \'request\'' -l break-glass -d 'an emergency: approvers are told, and somebody has to acknowledge it'
complete -c jit -n '__jit_at \'request\'' -l wait -d 'until it is approved'
complete -c jit -n '__jit_at \'request\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'request\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'init\'' -l env -x -a '(__jit_asked environments)' -r -d 'environment that its profile is for'
complete -c jit -n '__jit_at \'init\'' -l task -x -a '(__jit_asked tasks)' -r -d 'what is to be done there'
complete -c jit -n '__jit_at \'init\'' -l target -x -a '(__jit_asked targets)' -r -d 'only this target; may be repeated'
complete -c jit -n '__jit_at \'init\'' -l ttl -x -r -d 'for how long, such as 15m'
complete -c jit -n '__jit_at \'init\'' -l name -x -r -d 'what the profile is called'
complete -c jit -n '__jit_at \'init\'' -l command -x -r -d 'a command it is for: \'make deploy *\'; may be repeated'
complete -c jit -n '__jit_at \'init\'' -l force -d 'in place of the one that is there'
complete -c jit -n '__jit_at \'init\'' -l yes -d 'without asking anything, and trust it'
complete -c jit -n '__jit_at \'init\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'init\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'trust\'' -l yes -d 'without asking'
complete -c jit -n '__jit_at \'trust\'' -l remove -d 'trust it no longer'
complete -c jit -n '__jit_at \'trust\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'trust\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'approve\'' -x -a '(__jit_asked approvals)'
complete -c jit -n '__jit_at \'approve\'' -l watch -d 'go on and show each new request'
complete -c jit -n '__jit_at \'approve\'' -l yes -d 'without asking; needs the id'
complete -c jit -n '__jit_at \'approve\'' -l json -d 'print one JSON object; with --watch one a line'
complete -c jit -n '__jit_at \'approve\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'deny\'' -x -a '(__jit_asked approvals)'
complete -c jit -n '__jit_at \'deny\'' -l reason -x -r -d 'why: the requester is told'
complete -c jit -n '__jit_at \'deny\'' -l yes -d 'without asking; needs the id'
complete -c jit -n '__jit_at \'deny\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'deny\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'acknowledge\'' -x -a '(__jit_asked unacknowledged)'
complete -c jit -n '__jit_at \'acknowledge\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'acknowledge\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'grants\'' -l mine -d 'my own (the default)'
complete -c jit -n '__jit_at \'grants\'' -l all -d 'everyone\'s, as far as policy lets you see them'
complete -c jit -n '__jit_at \'grants\'' -l watch -d 'go on and show what becomes of them, until q or Ctrl-C'
complete -c jit -n '__jit_at \'grants\'' -l json -d 'print one JSON object; with --watch one a line, at each change'
complete -c jit -n '__jit_at \'grants\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'show\'' -x -a '(__jit_asked grants)'
complete -c jit -n '__jit_at \'show\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'show\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'revoke\'' -x -a '(__jit_asked grants)'
complete -c jit -n '__jit_at \'revoke\'' -l mine -d 'all of my own'
complete -c jit -n '__jit_at \'revoke\'' -l all -d 'everyone\'s, with their sessions: all have to sign in again'
complete -c jit -n '__jit_at \'revoke\'' -l user -x -r -d 'one principal\'s, with their sessions: they have to sign in again'
complete -c jit -n '__jit_at \'revoke\'' -l agent -x -a '(__jit_asked agents)' -r -d 'stop copilots of that name: their sessions, grants and sandboxes'
complete -c jit -n '__jit_at \'revoke\'' -l json -d 'print one JSON receipt a line; with --all, --user or --agent one object'
complete -c jit -n '__jit_at \'revoke\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'audit\'' -l follow -d 'go on with what is new, until interrupted'
complete -c jit -n '__jit_at \'audit\'' -l verify -d 'recompute its chain, check its signed head and what receipts said of it'
complete -c jit -n '__jit_at \'audit\'' -l export -x -a 'jsonl' -r -d 'hand it on, resumable'
complete -c jit -n '__jit_at \'audit\'' -l to -F -r -d 'with --export: a file to add to, or an https endpoint to post to'
complete -c jit -n '__jit_at \'audit\'' -l cursor -F -r -d 'with --export: where it keeps how far it got'
complete -c jit -n '__jit_at \'audit\'' -l headers -F -r -d 'with --export: \'Name: value\' lines to send to the endpoint'
complete -c jit -n '__jit_at \'audit\'' -l json -d 'print one JSON entry a line; one object with --verify'
complete -c jit -n '__jit_at \'audit\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'sandbox\'' -l profile -x -a '(__jit_asked sandbox-profiles)' -r -d 'a profile of config.yaml (default: the one named like the command)'
complete -c jit -n '__jit_at \'sandbox\'' -l agent -x -a '(__jit_asked agents)' -r -d 'what the copilot is called (default: like the command)'
complete -c jit -n '__jit_at \'sandbox\'' -l env -x -a '(__jit_asked environments)' -r -d 'it may ask for this environment alone; may be repeated'
complete -c jit -n '__jit_at \'sandbox\'' -l task -x -a '(__jit_asked tasks)' -r -d 'only for this task; may be repeated'
complete -c jit -n '__jit_at \'sandbox\'' -l target -x -a '(__jit_asked targets)' -r -d 'only for this target; may be repeated'
complete -c jit -n '__jit_at \'sandbox\'' -l ttl -x -r -d 'for how long at most, such as 1h'
complete -c jit -n '__jit_at \'sandbox\'' -s q -l quiet -d 'say nothing unless something fails'
complete -c jit -n '__jit_at \'sandbox\'' -l json -d 'errors as JSON, and nothing else of its own'
complete -c jit -n '__jit_at \'sandbox\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'mcp\'' -l agent -x -a '(__jit_asked agents)' -r -d 'what the copilot is; absent: by the client\'s name'
complete -c jit -n '__jit_at \'mcp\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'hook\'' -x -a 'bash zsh fish pwsh'
complete -c jit -n '__jit_at \'hook\'' -l no-prompt -d 'only keep JIT_PROMPT up to date, for a prompt that shows it itself'
complete -c jit -n '__jit_at \'hook\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'prompt\'' -l format -x -r -d 'plain, ansi, or a template: \'{environment}:{task} {left}\''
complete -c jit -n '__jit_at \'prompt\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'prompt\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'completion\'' -x -a 'bash zsh fish pwsh'
complete -c jit -n '__jit_at \'completion\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'dev\'' -l port -x -r -d 'port to listen on (default: one that is free)'
complete -c jit -n '__jit_at \'dev\'' -l data -x -a '(__fish_complete_directories)' -r -d 'keep keys, ledger, policies and sign-ins there (default: nothing is kept)'
complete -c jit -n '__jit_at \'dev\'' -l postgres -x -r -d 'admin URL of a PostgreSQL: adds the targets dev-db and prod-db'
complete -c jit -n '__jit_at \'dev\'' -l json -d 'print one line of JSON when ready'
complete -c jit -n '__jit_at \'dev\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'broker\'' -a rotate-keys -d 'publish the next signing keys, or withdraw keys that somebody else may have'
complete -c jit -n '__jit_at \'broker\'' -a quarantine -d 'list credentials of this ledger that it knows nothing of, and leaves alone'
complete -c jit -n '__jit_at \'broker\'' -a adopt -d 'revoke credentials in quarantine: the broker that made them is gone'
complete -c jit -n '__jit_at \'broker\'' -a restored -d 'after a backup was put in place of the store: end every session in it'
complete -c jit -n '__jit_at \'broker\'' -l config -F -r -d 'its broker.yaml'
complete -c jit -n '__jit_at \'broker\'' -l log-level -x -a 'debug info warn error' -r -d 'how much it logs'
complete -c jit -n '__jit_at \'broker\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'broker rotate-keys\'' -l purpose -x -a 'session grant audit' -r -d 'only keys of one purpose; all unless given'
complete -c jit -n '__jit_at \'broker rotate-keys\'' -l compromised -d 'new keys sign at once, and nothing the old ones signed counts'
complete -c jit -n '__jit_at \'broker rotate-keys\'' -l yes -d 'don\'t ask'
complete -c jit -n '__jit_at \'broker rotate-keys\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'broker rotate-keys\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'broker quarantine\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'broker quarantine\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'broker adopt\'' -l all -d 'all that are in quarantine now'
complete -c jit -n '__jit_at \'broker adopt\'' -l yes -d 'don\'t ask'
complete -c jit -n '__jit_at \'broker adopt\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'broker adopt\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'broker restored\'' -l yes -d 'don\'t ask'
complete -c jit -n '__jit_at \'broker restored\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'broker restored\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'policy\'' -a check -d 'validate the *.cedar files of a folder against what broker.yaml declares'
complete -c jit -n '__jit_at \'policy\'' -a test -d 'run the *.cases.yaml beside the policies: requests, and what should come of them'
complete -c jit -n '__jit_at \'policy\'' -a explain -d 'why policy says what it says: of a grant, a case, or a request given by flags'
complete -c jit -n '__jit_at \'policy\'' -a help -d 'show help for a command'
complete -c jit -n '__jit_at \'policy\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'policy check\'' -x -a '(__fish_complete_directories)'
complete -c jit -n '__jit_at \'policy check\'' -l config -F -r -d 'the broker\'s configuration (broker.yaml in or beside the folder)'
complete -c jit -n '__jit_at \'policy check\'' -l strict -d 'fail on warnings too'
complete -c jit -n '__jit_at \'policy check\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'policy check\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'policy test\'' -x -a '(__fish_complete_directories)'
complete -c jit -n '__jit_at \'policy test\'' -l config -F -r -d 'the broker\'s configuration (broker.yaml in or beside the folder)'
complete -c jit -n '__jit_at \'policy test\'' -l min-coverage -x -r -d 'fail when fewer of the policies decide in some case'
complete -c jit -n '__jit_at \'policy test\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'policy test\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'policy explain\'' -x -a '(__jit_asked grants)'
complete -c jit -n '__jit_at \'policy explain\'' -l case -F -r -d 'a case of a *.cases.yaml file: FILE#NAME'
complete -c jit -n '__jit_at \'policy explain\'' -l config -F -r -d 'the broker\'s configuration (broker.yaml beside the case, or here)'
complete -c jit -n '__jit_at \'policy explain\'' -l principal -x -a 'human agent pipeline' -r -d 'who asks: human, agent or pipeline; human:ID for one of them'
complete -c jit -n '__jit_at \'policy explain\'' -l group -x -r -d 'a group they are in; may be repeated'
complete -c jit -n '__jit_at \'policy explain\'' -l owner -x -r -d 'an agent\'s person, whose groups --group gives'
complete -c jit -n '__jit_at \'policy explain\'' -l task -x -a '(__jit_asked tasks)' -r -d 'what is asked for'
complete -c jit -n '__jit_at \'policy explain\'' -l env -x -a '(__jit_asked environments)' -r -d 'and where'
complete -c jit -n '__jit_at \'policy explain\'' -l target -x -a '(__jit_asked targets)' -r -d 'only this target; may be repeated'
complete -c jit -n '__jit_at \'policy explain\'' -l ttl -x -r -d 'for how long'
complete -c jit -n '__jit_at \'policy explain\'' -l reason -x -r -d 'why'
complete -c jit -n '__jit_at \'policy explain\'' -l ticket -x -r -d 'a ticket'
complete -c jit -n '__jit_at \'policy explain\'' -l label -x -a '(__jit_asked labels)' -r -d 'a label; may be repeated'
complete -c jit -n '__jit_at \'policy explain\'' -l repository -x -r -d 'where they stand; signed of a pipeline, else claimed'
complete -c jit -n '__jit_at \'policy explain\'' -l branch -x -r -d 'and on which branch'
complete -c jit -n '__jit_at \'policy explain\'' -l approval -x -r -d 'an approval, GROUP=2 for two; may be repeated'
complete -c jit -n '__jit_at \'policy explain\'' -l age -x -r -d 'how long ago they signed in'
complete -c jit -n '__jit_at \'policy explain\'' -l acr -x -r -d 'and in which authentication context'
complete -c jit -n '__jit_at \'policy explain\'' -l time -x -r -d 'when it is asked: 2026-01-05T09:30:00Z'
complete -c jit -n '__jit_at \'policy explain\'' -l break-glass -d 'as an emergency'
complete -c jit -n '__jit_at \'policy explain\'' -l delivery -x -a 'env proxy' -r -d 'how credentials are to arrive: env or proxy'
complete -c jit -n '__jit_at \'policy explain\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'policy explain\'' -s h -l help -d 'show help'


complete -c jit -n '__jit_at \'doctor\'' -l broker -d 'of a broker, on its own machine: store, keys, policies, targets'
complete -c jit -n '__jit_at \'doctor\'' -l config -F -r -d 'with --broker: its broker.yaml'
complete -c jit -n '__jit_at \'doctor\'' -l json -d 'print one JSON object'
complete -c jit -n '__jit_at \'doctor\'' -s h -l help -d 'show help'

complete -c jit -n '__jit_at \'help\'' -x -a 'login logout whoami status exec request init trust approve deny acknowledge grants show revoke audit sandbox mcp hook prompt completion dev broker policy doctor help'
