# Grants of jit in the prompt, for fish 3.2 and newer. On Linux nothing here starts a process.
set -g __jit_segment ''
set -g JIT_PROMPT ''
set -g __jit_user (command id -u)
set -g __jit_proc_clock 0

# Seconds since the epoch: fish has no clock of its own.
function __jit_now
    if test $__jit_proc_clock = 1
        read -l uptime _idle </proc/uptime
        math -s0 (string match -rg '^btime (\d+)' </proc/stat) + $uptime
    else
        command date +%s
    end
end

# A container's uptime may be its own, and the boot time the machine's.
if test -r /proc/uptime -a -r /proc/stat
    set __jit_proc_clock 1
    set -l __jit_off (math "abs("(__jit_now)" - "(command date +%s)")" 2>/dev/null)
    test -n "$__jit_off" -a "$__jit_off" -le 2 2>/dev/null
    or set __jit_proc_clock 0
end

function __jit_look --on-event fish_prompt
    set -g JIT_PROMPT ''
    set -g __jit_segment ''
    set -l tmp /tmp
    for name in TEMP TMP TMPDIR
        test -n "$$name"
        and set tmp (string trim -r -c / -- $$name)
    end
    set -l folders
    for folder in "$XDG_RUNTIME_DIR" /run/user/$__jit_user $tmp/jit-$__jit_user
        string match -q '/*' -- $folder
        and not contains -- $folder $folders
        and set -a folders $folder
    end
    set -l files
    for folder in $folders/jit/grants
        # Of this user alone: under /tmp anybody could have made it.
        test -d $folder -a -O $folder -a ! -L $folder
        and set -a files $folder/*
    end
    test (count $files) -gt 0
    or return 0
    set -l now (__jit_now)
    set -l seen
    set -l keys
    set -l texts
    set -l styles
    for file in $files
        test -f $file -a -O $file -a ! -L $file -a -r $file
        or continue
        set -l id (string replace -r '.*/' '' -- $file)
        string match -rq '^[A-Za-z0-9_-]+\z' -- "$id"
        and not contains -- $id $seen
        or continue
        __jit_read $file
        or continue
        set -a seen $id
    end
    __jit_compose
end

# Every field is compared with what it may be before it is calculated with or shown.
function __jit_read --no-scope-shadowing
    set -l line
    set -l expires
    set -l environment
    set -l tier
    set -l task
    set -l pid
    set -l started
    set -l agent
    read line <$argv[1]
    or return 1
    string match -rq '^(?<expires>[0-9]{1,12}) (?<environment>[a-z][a-z0-9_-]{0,62}) (?<tier>[a-z][a-z0-9_-]{0,62}) (?<task>[a-z][a-z0-9_-]{0,62}) (?<pid>[0-9]{1,10}) (?<started>-|[0-9]{1,20}) (?<agent>-|[a-z0-9][a-z0-9._-]{0,62})\z' -- "$line"
    or return 1
    set -l left (math -s0 $expires - $now)
    test $left -gt 0
    and __jit_alive $pid $started
    or return 1
    set -l rank 3
    set -l style normal
    switch $tier
        case production
            set style red
            set rank 1
        case staging
            set style yellow
            set rank 2
        case development
            set style green
    end
    test "$JIT_GRANT" = "$id"
    and set rank 0
    set -l text "$environment:$task "
    if test $left -le 120
        set text $text"ends in "$left"s"
        set style $style --bold --reverse
    else if test $left -lt 3600
        set text $text(math -s0 $left / 60)m
    else
        set text $text(math -s0 $left / 3600)h(math -s0 "$left % 3600 / 60")m
    end
    test $agent = -
    or set text "$text ($agent)"
    set -a keys (math $rank x 1000000000000 + $expires)
    set -a texts $text
    set -a styles "$style"
end

# What a kill -9 left is told by its process: gone, or another one of the same number.
function __jit_alive -a pid started
    if test $started = -
        command kill -0 $pid 2>/dev/null
        return
    end
    test -r /proc/$pid/stat
    and read -l stat 2>/dev/null </proc/$pid/stat
    or return 1
    set -l fields (string split ' ' -- (string replace -r '.*\) ' '' -- $stat))
    test "$fields[20]" = $started
    and not contains -- $fields[1] Z X
end

function __jit_compose --no-scope-shadowing
    set -l found (count $keys)
    for turn in 1 2 3
        set -l first 0
        for at in (__jit_indices $keys)
            test -n "$keys[$at]"
            and begin
                test $first -eq 0
                or test $keys[$at] -lt $keys[$first]
            end
            and set first $at
        end
        test $first -gt 0
        or break
        set keys[$first] ''
        set -a JIT_PROMPT $texts[$first]
        set -l open (__jit_colour (string split ' ' -- $styles[$first]))
        test -n "$open"
        and set __jit_segment $__jit_segment$open$texts[$first](set_color normal)' '
        or set __jit_segment $__jit_segment$texts[$first]' '
    end
    if test $found -gt 3
        set -l more '+'(math $found - 3)
        set -a JIT_PROMPT $more
        set __jit_segment $__jit_segment$more' '
    end
    set JIT_PROMPT (string trim -- "$JIT_PROMPT")
end

function __jit_indices
    set -l at 0
    for _one in $argv
        set at (math $at + 1)
        echo $at
    end
end

function __jit_colour
    test -z "$NO_COLOR" -a "$TERM" != dumb -a "$argv" != normal
    and set_color $argv
end

# What fish shows before a prompt, whatever the prompt is, and with its $status untouched.
if not set -q __jit_no_prompt; and not functions -q __jit_mode_prompt
    if functions -q fish_mode_prompt
        functions -c fish_mode_prompt __jit_mode_prompt
    else
        function __jit_mode_prompt
        end
    end
    function fish_mode_prompt
        __jit_mode_prompt
        printf %s $__jit_segment
    end
end
