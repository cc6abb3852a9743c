#!/bin/sh
# Clears up after a sandbox: when its supervisor says so, or was killed, either of which ends the input.
# $1 the process of bubblewrap, $2 the sandbox's folder, $3 its note of what was made to be mounted on.
read -r _
if kill -0 "$1" 2>/dev/null; then
  while kill -0 "$1" 2>/dev/null; do sleep 0.05; done
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
  [ "$holder" = ended ] || ! kill -0 "$holder" 2>/dev/null || exit 0
done
# What lies in another comes first.
cat "$@" | sort -r | while IFS= read -r path; do
  if [ -d "$path" ]; then
    rmdir "$path"
  elif [ -f "$path" ] && [ ! -s "$path" ]; then
    rm -f "$path"
  elif [ "${path##*/}" = commondir ] && [ "$(cat "$path")" = ./ ]; then
    rm -f "$path"
  fi
done
rm -f "$@"
rmdir "$notes" "${notes%/*}"
