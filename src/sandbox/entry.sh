#!/bin/sh
# Runs in the sandbox, everything mounted, before Unix sockets are refused: starts the relays from
# loopback to the sockets that were bound in, says so, and becomes the helper that runs the command.
#
# No program is looked up: what PATH finds could be the repository's.
set -f
IFS=' '
wanted=0
while read -r port socket; do
  "$JIT_ENTRY_SOCAT" "TCP4-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr,backlog=4096" \
    "UNIX-CONNECT:$socket" <&- >/dev/null 2>&1 3>&- &
  wanted=$((wanted + 1))
done <<LINES
$JIT_ENTRY_RELAYS
LINES

# A listening socket counts as one in use, and nothing else makes any here. For half a second at most.
since=
up=0
while [ "$up" -lt "$wanted" ]; do
  while read -r kind _ up _; do
    [ "$kind" = TCP: ] && break
  done </proc/net/sockstat
  read -r now _ </proc/uptime
  now=1${now%.*}${now#*.}
  [ $((now - ${since:=$now})) -lt 50 ] || break
done

echo >&3
exec 3>&-
helper=$JIT_ENTRY_HELPER
unset JIT_ENTRY_HELPER JIT_ENTRY_SOCAT JIT_ENTRY_RELAYS IFS PWD OLDPWD
exec "$helper" "$@"
