#!/bin/sh
# Runs Postgres on $PGDATA, made on the first start with the superuser's password from a file.
# Arguments are appended to the server's own: -c max_connections=200.
set -eu

if [ ! -f "$PGDATA/PG_VERSION" ]; then
  : "${POSTGRES_PASSWORD_FILE:?is the file with the password of the superuser postgres}"
  # Made beside its place and moved there when complete: a start that is cut short begins again.
  rm -rf "$PGDATA.new"
  initdb -D "$PGDATA.new" -U postgres --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=peer --auth-host=scram-sha-256 \
    --encoding=UTF8 --locale=C.UTF-8 --data-checksums --no-instructions >/dev/null
  echo 'host all all all scram-sha-256' >>"$PGDATA.new/pg_hba.conf"
  rm -rf "$PGDATA"
  mv "$PGDATA.new" "$PGDATA"
  sync
fi
# A volume that is handed to a group becomes readable by the group, which Postgres rightly refuses.
chmod 0700 "$PGDATA"

# No just-in-time compiler in this image: it is larger than all the rest, and shops run short queries.
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp -c jit=off "$@"
