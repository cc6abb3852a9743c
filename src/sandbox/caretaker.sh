#!/bin/sh
# Clears up after a sandbox: when its supervisor says so, or was killed, either of which ends the input.
# $1 the process of bubblewrap, $2 the sandbox's folder, $3 its note of what was made to be mounted on,
# $4 git's file of what is ignored, with lines for that (ignored.ts).
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
exclude=$4

# While another sandbox of this repository runs, all stays: removed outside, it were writable in there.
notes=${3%/*}
mv "$3" "$notes/ended.${3##*.}"
set -- "$notes"/*
for note; do
  holder=${note##*/}
  holder=${holder%%.*}
  [ "$holder" = ended ] || ! runs "$holder" || exit 0
done
# Of several that end at once, one goes on.
mv "$notes" "$notes.$$" || exit 0
notes=$notes.$$
set -- "$notes"/*

set -f
IFS='
'
begin='^# jit sandbox {-\{0,1\}$'
end='^# jit sandbox }$'
# Lines without their end are left to the person: what follows them may be theirs.
if [ -f "$exclude" ] && [ ! -L "$exclude" ] && [ ! -L "${exclude%/*}" ] &&
  count=$(grep -c "$begin" "$exclude") && [ "$count" = "$(grep -c "$end" "$exclude")" ]; then
  left=$notes/exclude
  sed "/$begin/,/$end/d" "$exclude" >"$left" &&
    case $(grep -m 1 "$begin" "$exclude")$(sed "/$begin/,\$d" "$exclude" | wc -c) in
      *-"$(wc -c <"$left")") printf %s "$(cat "$left")" >"$exclude" ;;
      *) cat "$left" >"$exclude" ;;
    esac
  rm -f "$left"
fi
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
