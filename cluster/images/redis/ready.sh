#!/bin/sh
# Succeeds when Redis answers, which it does not while it still loads its data. Starts no process but the one it
# becomes: redis-server is the container's first process and reaps no orphans. The prober has the time limit.
IFS= read -r REDISCLI_AUTH <"$REDIS_PASSWORD_FILE" || [ -n "$REDISCLI_AUTH" ] || exit 1
export REDISCLI_AUTH
exec redis-cli -e ping
