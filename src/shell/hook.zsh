# Grants of jit in the prompt, for zsh. Nothing here starts a process.
if ! zmodload zsh/datetime zsh/system 2>/dev/null; then
  print -r -u2 -- 'jit: warning: the prompt shows no grants: zsh/datetime and zsh/system are needed'
else
  typeset -g __jit_inserted='' __jit_segment='' JIT_PROMPT=''

  # Sets JIT_PROMPT, as text, and __jit_segment, for PROMPT.
  function __jit_look {
    local tmp=${TMPDIR:-${TMP:-${TEMP:-/tmp}}} folder file
    local -a keys texts styles
    local -A seen
    local -i found=0 now=$EPOCHSECONDS
    for folder in "${XDG_RUNTIME_DIR-}" "/run/user/$UID" "${tmp%/}/jit-$UID"; do
      [[ $folder == /* && -z ${seen[$folder]-} ]] || continue
      seen[$folder]=1
      folder+=/jit/grants
      # Of this user alone: under /tmp anybody could have made it.
      [[ -d $folder && -O $folder && ! -h $folder ]] || continue
      for file in $folder/*(N.U); do __jit_add $file; done
    done
    __jit_compose
  }

  # Every field is compared with what it may be before it is calculated with or shown.
  function __jit_add {
    local id=${1:t} line='' name='[a-z][a-z0-9_-](#c0,62)' MATCH MBEGIN MEND
    local -a fields match mbegin mend
    [[ $id == [A-Za-z0-9_-]## ]] || return
    { builtin sysread -s 512 line <$1 } 2>/dev/null
    [[ $line == [0-9](#c1,12)\ ${~name}\ ${~name}\ ${~name}\ [0-9](#c1,10)\ (-|[0-9](#c1,20))\ (-|[a-z0-9][a-z0-9._-](#c0,62))$'\n' ]] || return
    fields=(${(s: :)line%$'\n'})
    local environment=$fields[2] tier=$fields[3] task=$fields[4] agent=$fields[7] style='' text
    local -i left=$(( 10#$fields[1] - now )) rank=3
    (( left > 0 )) && [[ -z ${seen[$id]-} ]] && __jit_alive $fields[5] $fields[6] || return
    seen[$id]=1
    case $tier in
      production) style=red rank=1 ;;
      staging) style=yellow rank=2 ;;
      development) style=green ;;
    esac
    [[ ${JIT_GRANT-} == $id ]] && rank=0
    if (( left <= 120 )); then
      text="ends in ${left}s" style+=!
    elif (( left < 3600 )); then
      text=$(( left / 60 ))m
    else
      text=$(( left / 3600 ))h$(( left % 3600 / 60 ))m
    fi
    text="$environment:$task $text"
    [[ $agent == - ]] || text+=" ($agent)"
    found+=1
    # What sorts first, then what is shown.
    keys+=("$rank ${(l:12::0:)fields[1]} $style $text")
  }

  # What a kill -9 left is told by its process: gone, or another one of the same number.
  function __jit_alive {
    local stat=''
    if [[ $2 == - ]]; then
      builtin kill -0 $1 2>/dev/null
      return
    fi
    [[ -r /proc/$1/stat ]] || return
    { builtin sysread -s 1024 stat <"/proc/$1/stat" } 2>/dev/null
    local -a fields=(${(s: :)stat##*\) })
    [[ ${fields[20]-} == $2 && $fields[1] != [ZX] ]]
  }

  function __jit_compose {
    local line style text open close
    local -a shown
    JIT_PROMPT='' __jit_segment=''
    for line in ${${(o)keys}[1,3]}; do
      style=${${line#* * }%% *} text=${line#* * * } open='' close=''
      if [[ -z ${NO_COLOR-} && ${TERM-} != dumb && -n $style && -o prompt_percent ]]; then
        open=${${style%!}:+"%F{${style%!}}"} close=%f
        [[ $style == *! ]] && open="%B%S$open" close+=%s%b
      fi
      JIT_PROMPT+="$text "
      __jit_segment+="$open$text$close "
    done
    if (( found > 3 )); then
      JIT_PROMPT+="+$(( found - 3 )) " __jit_segment+="+$(( found - 3 )) "
    fi
    JIT_PROMPT=${JIT_PROMPT% }
  }

  # Before the prompt, behind the lines it begins with.
  function __jit_place {
    local rest=${PROMPT-} head=''
    if [[ -n $__jit_inserted && $rest == *"$__jit_inserted"* ]]; then
      rest=${rest%%"$__jit_inserted"*}${rest#*"$__jit_inserted"}
    fi
    if [[ -n $__jit_segment || $rest != ${PROMPT-} ]]; then
      while [[ $rest == $'\n'* ]]; do head+=$'\n' rest=${rest#?}; done
      PROMPT=$head$__jit_segment$rest
    fi
    __jit_inserted=$__jit_segment
  }

  function __jit_hook {
    emulate -L zsh
    setopt local_options extended_glob no_err_exit no_err_return no_xtrace no_verbose
    __jit_look
    [[ -n ${__jit_no_prompt-} ]] || __jit_place
    # Behind themes that were loaded later: they set PROMPT anew.
    [[ $precmd_functions[-1] == __jit_hook ]] || precmd_functions=(${precmd_functions:#__jit_hook} __jit_hook)
  }

  typeset -ga precmd_functions
  precmd_functions=(${precmd_functions:#__jit_hook} __jit_hook)
fi
