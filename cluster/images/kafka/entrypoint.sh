#!/bin/sh
# Runs one Kafka node in KRaft mode that is broker and controller at once.
# KAFKA_ADVERTISED_HOST is the name by which clients reach it; everything else has a default.
# The volume needs no preparation: the first start formats it, a start that was cut short begins again.
set -eu

home=${KAFKA_HOME:-/opt/kafka}
data=${KAFKA_DATA:-/data}
heap=${KAFKA_HEAP:-256m}
# Not KAFKA_PORT: Kubernetes sets that one in every pod next to a Service named kafka.
port=${LISTEN_PORT:-9092}
controller_port=${LISTEN_CONTROLLER_PORT:-9093}
tools_port=${LISTEN_TOOLS_PORT:-9094}
: "${KAFKA_ADVERTISED_HOST:?is the name by which clients reach this broker}"

mkdir -p "$data/log"
cat >"$data/server.properties" <<EOF
process.roles=broker,controller
node.id=1
# The one voter is this process itself, so the controller's port is not open to others.
controller.quorum.voters=1@127.0.0.1:$controller_port
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENTS
listener.security.protocol.map=CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT,TOOLS:PLAINTEXT
# The last is for developers' tools: from inside, or through a port that is forwarded under its own number.
listeners=CLIENTS://${KAFKA_BIND:-}:$port,CONTROLLER://127.0.0.1:$controller_port,TOOLS://127.0.0.1:$tools_port
advertised.listeners=CLIENTS://$KAFKA_ADVERTISED_HOST:$port,TOOLS://127.0.0.1:$tools_port
log.dirs=$data/log
# Topics are made on purpose, with the partitions somebody chose.
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=10
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
# There is nobody else to wait for when a consumer group begins.
group.initial.rebalance.delay.ms=0
# The defaults assume a machine of its own; the cleaner alone would take half of this heap.
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
EOF
# One property per argument, last one wins: "log.retention.hours=24".
for property in "$@"; do printf '%s\n' "$property" >>"$data/server.properties"; done

java=${JAVA:-/usr/bin/java}
# In one order everywhere: the archive of ready-made classes is only good for the same class path.
classpath=$(printf '%s:' "$home"/libs/*.jar)
set -- -Xmx"$heap" -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError -XX:-UsePerfData -Xshare:auto \
  -Djava.io.tmpdir="${TMPDIR:-/tmp}" -Dlog4j2.configurationFile="$home/log4j2.properties" -cp "${classpath%:}"
if [ -n "${KAFKA_WRITE_CLASSES:-}" ]; then set -- -XX:ArchiveClassesAtExit="$KAFKA_WRITE_CLASSES" "$@"
elif [ -f "$home/classes.jsa" ]; then set -- -XX:SharedArchiveFile="$home/classes.jsa" "$@"; fi

if [ ! -f "$data/formatted" ]; then
  # An id is 16 bytes in base64url. One that begins with a hyphen would be taken for an option.
  case $(cat "$data/cluster-id" 2>/dev/null) in
  '' | -*)
    head -c16 /dev/urandom | base64 | tr '+/' '__' | cut -c1-22 >"$data/cluster-id.new"
    mv "$data/cluster-id.new" "$data/cluster-id"
    ;;
  esac
  "$java" "$@" kafka.tools.StorageTool format --ignore-formatted \
    --cluster-id "$(cat "$data/cluster-id")" --config "$data/server.properties"
  touch "$data/formatted"
fi
exec "$java" "$@" kafka.Kafka "$data/server.properties"
