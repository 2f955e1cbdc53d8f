#!/bin/sh
# Succeeds when Redis answers, which it does not while it still loads its data.
REDISCLI_AUTH=$(cat "$REDIS_PASSWORD_FILE") timeout 2 redis-cli ping | grep -qx PONG
