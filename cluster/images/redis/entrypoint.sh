#!/bin/sh
# Runs Redis on /data with the password from a file. Arguments are appended: --maxmemory 100mb.
set -eu

: "${REDIS_PASSWORD_FILE:?is the file with the password}"
# The configuration comes by standard input: what is on a command line, anybody can read.
password=$(sed 's/[\\"]/\\&/g' "$REDIS_PASSWORD_FILE")
exec redis-server - "$@" <<EOF
port 6379
bind * -::*
protected-mode no
requirepass "$password"
dir /data
appendonly yes
save ""
EOF
