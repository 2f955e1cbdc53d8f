# Gives the superuser the password that the Secret has now: the server reads it only when it makes
# its data. Nobody else is in, and in single-user mode nobody asks for the old one.
set -eu
[ -f "$PGDATA/PG_VERSION" ] || exit 0
# A volume that is handed to a group becomes readable by the group, which Postgres rightly refuses.
chmod 0700 "$PGDATA"
password=$(sed "s/'/''/g" "$POSTGRES_PASSWORD_FILE")
# A statement that fails ends it, and is not written to the log.
echo "ALTER ROLE postgres PASSWORD '$password'" |
  postgres --single -D "$PGDATA" -c exit_on_error=on -c log_min_error_statement=panic postgres >/dev/null
