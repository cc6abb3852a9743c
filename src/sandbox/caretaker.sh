#!/bin/sh
# Clears up after a sandbox: when its supervisor says so, or was killed, either of which ends the input.
# $1 the process of bubblewrap, $2 the sandbox's folder, $3 its note of what was made to be mounted on.
read -r _

# One that nobody has waited for yet has ended as well (Z in proc_pid_stat(5)).
runs() {
  read -r stat <"/proc/$1/stat" || return 1
  case ${stat##*) } in [ZX]*) return 1 ;; esac
}
if runs "$1"; then
  while runs "$1"; do sleep 0.05; done
  # What bubblewrap held ends with it, a moment later.
  sleep 0.1
fi
rm -rf "$2"

# While another sandbox of this repository runs, all stays: removed outside, it were writable in there.
notes=${3%/*}
mv "$3" "$notes/ended.${3##*.}"
set -- "$notes"/*
for note; do
  holder=${note##*/}
  holder=${holder%%.*}
  [ "$holder" = ended ] || ! runs "$holder" || exit 0
done

set -f
IFS='
'
read_notes=$*
# What lies in another comes first.
paths=$(cat "$@" | sort -r)
made() {
  [ -f "$1" ] || return 1
  [ -s "$1" ] || return 0
  [ "${1##*/}" = commondir ] && [ "$(cat "$1")" = ./ ]
}
set -- $paths
for path; do
  shift
  made "$path" && set -- "$@" "$path"
done
rm -f "$@"
set -- $paths
for path; do
  shift
  [ -d "$path" ] && set -- "$@" "$path"
done
rmdir "$@"
rm -f $read_notes
rmdir "$notes" "${notes%/*}"
