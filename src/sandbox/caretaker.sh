#!/bin/sh
# Clears up after a sandbox whose supervisor was killed: that ends this script's input.
# $1 the process of bubblewrap, $2 the sandbox's folder, then the files and folders it was mounted on.
read -r word && [ "$word" = dismissed ] && exit
bwrap=$1
folder=$2
shift 2
while kill -0 "$bwrap" 2>/dev/null; do sleep 0.05; done
# What bubblewrap held ends with it, a moment later.
sleep 0.1
for path; do
  if [ -d "$path" ]; then
    rmdir "$path"
  elif [ -f "$path" ] && [ ! -s "$path" ]; then
    rm -f "$path"
  fi
done
rm -rf "$folder"
