# Grants of jit in the prompt, for bash 4.4 and newer. Nothing here starts a process.
if [[ -z ${BASH_VERSINFO-} ]] || ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
  printf '%s\n' 'jit: warning: the prompt shows no grants: bash 4.4 or newer is needed' >&2
else
  __jit_inserted=
  __jit_segment=
  JIT_PROMPT=

  # Sets JIT_PROMPT, as text, and __jit_segment, coloured, with what readline is not to count.
  __jit_look() {
    # Ranges are ASCII's, and matching takes a fifth of the time.
    local - failglob= LC_ALL=C
    set +efuxET
    shopt -q failglob && failglob=1 && shopt -u failglob
    local tmp=${TMPDIR:-${TMP:-${TEMP:-/tmp}}} now folder seen=' ' file
    local -a keys=() texts=() styles=()
    local -i found=0
    builtin printf -v now '%(%s)T' -1
    for folder in "${XDG_RUNTIME_DIR-}" "/run/user/$UID" "${tmp%/}/jit-$UID"; do
      [[ $folder == /* && $seen != *" $folder "* ]] || continue
      seen+="$folder "
      folder+=/jit/grants
      # Of this user alone: under /tmp anybody could have made it.
      [[ -d $folder && -O $folder && ! -L $folder ]] || continue
      for file in "$folder"/*; do
        [[ -f $file && -O $file && ! -L $file && -r $file ]] && __jit_add "$file"
      done
    done
    [[ $failglob ]] && shopt -s failglob
    __jit_compose
  }

  # Every field is compared with what it may be before it is calculated with or shown.
  __jit_add() {
    local id=${1##*/} expires environment tier task pid started agent more
    local IFS=' '
    builtin read -r expires environment tier task pid started agent more <"$1" || return
    case $id in '' | *[!A-Za-z0-9_-]*) return ;; esac
    case $expires in '' | *[!0-9]* | ?????????????*) return ;; esac
    case $pid in '' | *[!0-9]* | ???????????*) return ;; esac
    case ${started#-} in *[!0-9]* | ?????????????????????*) return ;; esac
    local name
    for name in "$environment" "$tier" "$task"; do
      case $name in [!a-z]* | '' | *[!a-z0-9_-]*) return ;; esac
      ((${#name} <= 63)) || return
    done
    case $agent in -) ;; '' | [._-]* | *[!a-z0-9._-]*) return ;; esac
    [[ -z $more && ${#agent} -le 63 ]] || return
    local -i left=10#$expires-now rank=3 key at
    ((left > 0)) && [[ $seen != *" $id "* ]] && __jit_alive "$pid" "$started" || return
    seen+="$id "
    local style='' text
    case $tier in
      production) style=31 rank=1 ;;
      staging) style=33 rank=2 ;;
      development) style=32 ;;
    esac
    [[ ${JIT_GRANT-} == "$id" ]] && rank=0
    if ((left <= 120)); then
      text="ends in ${left}s" style="1;7${style:+;$style}"
    elif ((left < 3600)); then
      text=$((left / 60))m
    else
      text=$((left / 3600))h$((left % 3600 / 60))m
    fi
    text="$environment:$task $text"
    [[ $agent == - ]] || text+=" ($agent)"
    ((key = rank * 1000000000000 + 10#$expires, at = found < 3 ? found : 3, found += 1))
    # The three that come first stay, in their order.
    while ((at > 0 && keys[at - 1] > key)); do
      ((at -= 1))
      keys[at + 1]=${keys[at]} texts[at + 1]=${texts[at]} styles[at + 1]=${styles[at]}
    done
    keys[at]=$key texts[at]=$text styles[at]=$style
  }

  # What a kill -9 left is told by its process: gone, or another one of the same number.
  __jit_alive() {
    if [[ $2 == - ]]; then
      builtin kill -0 "$1" 2>/dev/null
      return
    fi
    local IFS=' '
    local -a fields
    [[ -r /proc/$1/stat ]] && builtin read -ra fields 2>/dev/null <"/proc/$1/stat" || return
    # The second one is the program's name in parentheses, which may have spaces (proc_pid_stat(5)).
    local -i name=1
    while [[ ${fields[name]-)} != *')' ]]; do name+=1; done
    [[ ${fields[name + 20]-} == "$2" && ${fields[name + 1]-} != [ZX] ]]
  }

  __jit_compose() {
    local -i at most=found
    local plain= shown= open close
    ((most > 3)) && most=3
    for ((at = 0; at < most; at += 1)); do
      open= close=
      if [[ -z ${NO_COLOR-} && ${TERM-} != dumb && -n ${styles[at]} ]]; then
        open=$'\001\e['${styles[at]}$'m\002' close=$'\001\e[0m\002'
      fi
      plain+="${texts[at]} "
      shown+="$open${texts[at]}$close "
    done
    if ((found > 3)); then
      plain+="+$((found - 3)) " shown+="+$((found - 3)) "
    fi
    JIT_PROMPT=${plain% }
    __jit_segment=$shown
  }

  # Before the prompt, where there is one that isn't there yet: behind the lines it begins with.
  __jit_place() {
    local wanted='${__jit_segment-}' head='' rest=${PS1-}
    if ! shopt -q promptvars; then
      wanted=${__jit_segment//$'\001'/\\[}
      wanted=${wanted//$'\002'/\\]}
    fi
    if [[ -n $__jit_inserted && $__jit_inserted != "$wanted" ]]; then
      [[ $rest == *"$__jit_inserted"* ]] && rest=${rest%%"$__jit_inserted"*}${rest#*"$__jit_inserted"}
      PS1=$rest
    fi
    __jit_inserted=$wanted
    [[ -n $wanted && $rest != *"$wanted"* ]] || return 0
    while [[ $rest == '\n'* || $rest == $'\n'* ]]; do
      if [[ $rest == '\n'* ]]; then head+='\n' rest=${rest#??}; else head+=$'\n' rest=${rest#?}; fi
    done
    PS1=$head$wanted$rest
  }

  # What comes after it in PROMPT_COMMAND finds the same $?, unless set -e would end the shell of it.
  __jit_hook() {
    local code=$? -
    shopt -qo errexit && code=0
    set +euxET
    __jit_look
    [[ ${__jit_no_prompt-} ]] || __jit_place
    return "$code"
  }

  if [[ " ${PROMPT_COMMAND[*]-} " != *__jit_hook* ]]; then
    if [[ $(declare -p PROMPT_COMMAND 2>/dev/null) == 'declare -a'* ]] &&
      ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)); then
      PROMPT_COMMAND+=(__jit_hook)
    else
      PROMPT_COMMAND=${PROMPT_COMMAND:+$PROMPT_COMMAND$'\n'}__jit_hook
    fi
  fi
fi
