# bash completion of jit. Made from the command tree of jit by scripts/completions.ts: change that, not this file.

_jit_is_command() {
    case "$1 $2" in
        ' login' | ' logout' | ' whoami' | ' status' | ' exec' | ' request' | ' init' | ' trust' | ' approve' | ' deny' | ' acknowledge' | ' grants' | ' show' | ' revoke' | ' audit' | ' sandbox' | ' mcp' | ' hook' | ' prompt' | ' completion' | ' dev' | ' broker' | ' policy' | ' doctor' | ' help' | 'broker rotate-keys' | 'broker quarantine' | 'broker adopt' | 'broker restored' | 'policy check' | 'policy test' | 'policy explain' | 'policy help') ;;
        *) return 1 ;;
    esac
}

_jit_takes_value() {
    case "$1 $2" in
        'login --acr' | 'login --agent' | 'login --task' | 'login --env' | 'login --target' | 'login --ttl' | 'logout --agent' | 'whoami --agent' | 'exec --env' | 'exec --task' | 'exec --target' | 'exec --ttl' | 'exec --reason' | 'exec --ticket' | 'exec --label' | 'exec --deliver' | 'exec --wait' | 'exec --grant' | 'exec --min-ttl' | 'exec --receipt' | 'exec --mask' | 'request --env' | 'request --task' | 'request --target' | 'request --ttl' | 'request --reason' | 'request --ticket' | 'request --label' | 'request --deliver' | 'init --env' | 'init --task' | 'init --target' | 'init --ttl' | 'init --name' | 'init --command' | 'deny --reason' | 'revoke --user' | 'revoke --agent' | 'audit --export' | 'audit --to' | 'audit --cursor' | 'audit --headers' | 'sandbox --profile' | 'sandbox --agent' | 'sandbox --env' | 'sandbox --task' | 'sandbox --target' | 'sandbox --ttl' | 'mcp --agent' | 'prompt --format' | 'dev --port' | 'dev --data' | 'dev --postgres' | 'broker --config' | 'broker --log-level' | 'broker rotate-keys --purpose' | 'policy check --config' | 'policy test --config' | 'policy test --min-coverage' | 'policy explain --case' | 'policy explain --config' | 'policy explain --principal' | 'policy explain --group' | 'policy explain --owner' | 'policy explain --task' | 'policy explain --env' | 'policy explain --target' | 'policy explain --ttl' | 'policy explain --reason' | 'policy explain --ticket' | 'policy explain --label' | 'policy explain --repository' | 'policy explain --branch' | 'policy explain --approval' | 'policy explain --age' | 'policy explain --acr' | 'policy explain --time' | 'policy explain --delivery' | 'doctor --config') ;;
        *) return 1 ;;
    esac
}

_jit_wraps() {
    case "$1" in
        'exec' | 'request' | 'sandbox') ;;
        *) return 1 ;;
    esac
}

_jit_flags() {
    case "$1" in
        '') _jit_offer -V --version -h --help ;;
        'login') _jit_offer --browser --open --fresh --acr --yes --workload --workload= --agent --delegate --task --env --target --ttl --json -h --help ;;
        'logout') _jit_offer --agent --json -h --help ;;
        'whoami') _jit_offer --agent --json -h --help ;;
        'status') _jit_offer --json -h --help ;;
        'exec') _jit_offer --env --task --target --ttl --reason --ticket --label --deliver --dry-run --break-glass --wait --no-wait --grant --min-ttl --receipt --mask -q --quiet --json -h --help -- ;;
        'request') _jit_offer --env --task --target --ttl --reason --ticket --label --deliver --dry-run --break-glass --wait --json -h --help -- ;;
        'init') _jit_offer --env --task --target --ttl --name --command --force --yes --json -h --help ;;
        'trust') _jit_offer --yes --remove --json -h --help ;;
        'approve') _jit_offer --watch --yes --json -h --help ;;
        'deny') _jit_offer --reason --yes --json -h --help ;;
        'acknowledge') _jit_offer --json -h --help ;;
        'grants') _jit_offer --mine --all --watch --json -h --help ;;
        'show') _jit_offer --json -h --help ;;
        'revoke') _jit_offer --mine --all --user --agent --json -h --help ;;
        'audit') _jit_offer --follow --verify --export --to --cursor --headers --json -h --help ;;
        'sandbox') _jit_offer --profile --agent --env --task --target --ttl -q --quiet --json -h --help -- ;;
        'mcp') _jit_offer --agent -h --help ;;
        'hook') _jit_offer --no-prompt -h --help ;;
        'prompt') _jit_offer --format --json -h --help ;;
        'completion') _jit_offer -h --help ;;
        'dev') _jit_offer --port --data --postgres --json -h --help ;;
        'broker') _jit_offer --config --log-level -h --help ;;
        'broker rotate-keys') _jit_offer --purpose --compromised --yes --json -h --help ;;
        'broker quarantine') _jit_offer --json -h --help ;;
        'broker adopt') _jit_offer --all --yes --json -h --help ;;
        'broker restored') _jit_offer --yes --json -h --help ;;
        'policy') _jit_offer -h --help ;;
        'policy check') _jit_offer --config --strict --json -h --help ;;
        'policy test') _jit_offer --config --min-coverage --json -h --help ;;
        'policy explain') _jit_offer --case --config --principal --group --owner --task --env --target --ttl --reason --ticket --label --repository --branch --approval --age --acr --time --break-glass --delivery --json -h --help ;;
        'policy help') _jit_offer  ;;
        'doctor') _jit_offer --broker --config --json -h --help ;;
        'help') _jit_offer  ;;
        *) return 1 ;;
    esac
}

_jit_value() {
    case "$1 $2" in
        'login --workload') _jit_offer github gitlab spiffe kubernetes env: file: ;;
        'login --agent' | 'logout --agent' | 'whoami --agent' | 'revoke --agent' | 'sandbox --agent' | 'mcp --agent') _jit_ask agents ;;
        'login --task' | 'exec --task' | 'request --task' | 'init --task' | 'sandbox --task' | 'policy explain --task') _jit_ask tasks ;;
        'login --env' | 'exec --env' | 'request --env' | 'init --env' | 'sandbox --env' | 'policy explain --env') _jit_ask environments ;;
        'login --target' | 'exec --target' | 'request --target' | 'init --target' | 'sandbox --target' | 'policy explain --target') _jit_ask targets ;;
        'exec --label' | 'request --label' | 'policy explain --label') _jit_ask labels ;;
        'exec --deliver' | 'request --deliver' | 'policy explain --delivery') _jit_offer env proxy ;;
        'exec --grant') _jit_ask requests ;;
        'exec --receipt' | 'audit --to' | 'audit --cursor' | 'audit --headers' | 'broker --config' | 'policy check --config' | 'policy test --config' | 'policy explain --case' | 'policy explain --config' | 'doctor --config') _jit_files ;;
        'exec --mask') _jit_offer auto always never ;;
        'audit --export') _jit_offer jsonl ;;
        'sandbox --profile') _jit_ask sandbox-profiles ;;
        'dev --data') _jit_folders ;;
        'broker --log-level') _jit_offer debug info warn error ;;
        'broker rotate-keys --purpose') _jit_offer session grant audit ;;
        'policy explain --principal') _jit_offer human agent pipeline ;;
        *) return 1 ;;
    esac
}

_jit_argument() {
    case "$1 $2" in
        ' 0') _jit_offer login logout whoami status exec request init trust approve deny acknowledge grants show revoke audit sandbox mcp hook prompt completion dev broker policy doctor help ;;
        'broker 0') _jit_offer rotate-keys quarantine adopt restored ;;
        'policy 0') _jit_offer check test explain help ;;
        'exec 0' | 'request 0') _jit_ask profiles ;;
        'approve 0' | 'deny 0') _jit_ask approvals ;;
        'acknowledge 0') _jit_ask unacknowledged ;;
        'show 0' | 'revoke '* | 'policy explain 0') _jit_ask grants ;;
        'hook 0' | 'completion 0') _jit_offer bash zsh fish pwsh ;;
        'policy check 0' | 'policy test 0') _jit_folders ;;
        'help 0') _jit_offer login logout whoami status exec request init trust approve deny acknowledge grants show revoke audit sandbox mcp hook prompt completion dev broker policy doctor help ;;
        *) return 1 ;;
    esac
}

# Candidates that begin with what is typed.
_jit_offer() {
    local candidate
    for candidate; do
        [[ $candidate == "$current"* && $current != *= ]] && COMPREPLY+=("$before$candidate")
    done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace 2>/dev/null
    return 0
}

_jit_files() {
    compopt -o default 2>/dev/null
}

_jit_folders() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -d -- "$current")
}

# What there is to ask for now. Nothing that is answered is ever evaluated, and only values that mean
# nothing to a shell are put on the command line.
_jit_ask() {
    local value about width=0 index
    local -a values=() abouts=()
    while IFS=$'\t' read -r value about; do
        [[ $value == "$current"* && $value =~ ^[A-Za-z0-9][A-Za-z0-9._=-]*$ ]] || continue
        values+=("$value") abouts+=("$about")
        (( ${#value} > width )) && width=${#value}
    done < <(command jit __complete "$1" "${words[@]}" 2>/dev/null </dev/null)
    # While they are listed, and only then, with what they are: ?, ! and @ list, see COMP_TYPE.
    if [[ ${#values[@]} -gt 1 && ${COMP_TYPE:-9} == @(33|63|64) ]]; then
        for index in "${!values[@]}"; do
            printf -v value '%-*s  %s' "$width" "${values[index]}" "${abouts[index]}"
            COMPREPLY+=("${value:0:${COLUMNS:-80}-1}")
        done
    else
        _jit_offer "${values[@]}"
    fi
}

# The command after `--`, completed as itself. `$1`: where it is among the words.
_jit_wrapped() {
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif (( COMP_CWORD == $1 )); then
        mapfile -t COMPREPLY < <(compgen -c -- "$current")
    else
        _jit_by_its_function "$1"
    fi
}

# Without the package bash-completion: by the function that completes it, if there is one.
_jit_by_its_function() {
    local name=${COMP_WORDS[$1]##*/} spec
    spec=$(complete -p -- "$name" 2>/dev/null) || spec=
    if [[ $spec =~ \ -F\ ([^ ]+) ]] && declare -F "${BASH_REMATCH[1]}" >/dev/null; then
        local function=${BASH_REMATCH[1]}
        COMP_LINE=${COMP_LINE#*" -- "}
        COMP_POINT=${#COMP_LINE}
        COMP_WORDS=("${COMP_WORDS[@]:$1}")
        (( COMP_CWORD -= $1 ))
        "$function" "$name" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
    else
        _jit_files
    fi
}

# Sets words: those before and at the cursor. What `=` and `:` took apart is put together again.
_jit_words() {
    local index word joined=
    words=()
    for (( index = 1; index <= COMP_CWORD; index++ )); do
        word=${COMP_WORDS[index]}
        if [[ ${#words[@]} -gt 0 && $word =~ ^[=:]+$ ]]; then
            words[-1]+=$word joined=1
        elif [[ $joined ]]; then
            words[-1]+=$word joined=
        else
            words+=("$word")
        fi
    done
}

_jit() {
    local current before='' command='' flag='' word index position=0
    local -a words
    COMPREPLY=()
    _jit_words
    current=${words[-1]-}
    for word in "${words[@]:0:${#words[@]}-1}"; do
        if [[ $word == -- ]] && _jit_wraps "$command"; then
            for (( index = 1; index < COMP_CWORD; index++ )); do
                [[ ${COMP_WORDS[index]} == -- ]] && break
            done
            _jit_wrapped $(( index + 1 ))
            return
        elif [[ $flag ]]; then
            flag=
        elif [[ $word == -* ]]; then
            _jit_takes_value "$command" "$word" && flag=$word
        elif (( position == 0 )) && _jit_is_command "$command" "$word"; then
            command=${command:+$command }$word
        else
            (( position += 1 ))
        fi
    done
    unset 'words[-1]'
    if [[ $flag ]]; then
        _jit_value "$command" "$flag"
    elif [[ $current == --*=* ]]; then
        flag=${current%%=*}
        # Where `=` doesn't break words, the flag has to be said again.
        [[ ${COMP_WORDS[COMP_CWORD]} == "$flag"=* ]] && before=$flag=
        current=${current#*=}
        _jit_value "$command" "$flag"
    elif [[ $current == -* ]]; then
        _jit_flags "$command"
    else
        _jit_argument "$command" "$position" || _jit_flags "$command"
    fi
}

complete -o nosort -F _jit jit
