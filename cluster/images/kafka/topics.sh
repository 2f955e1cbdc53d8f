#!/bin/sh
# Lets developers look into this broker's topics. `scripts/topics` runs it here and makes it readable.
#
#   topics.sh                  a line for each partition: topic, partition, first offset, next offset, and
#                              for each consumer by how many events it is behind
#   topics.sh TOPIC [COUNT]    the newest events of each partition (10), one in a line, as JSON
#
# A topic of events may be called by its aggregate alone: order, or order.dlq for the dead letters.
set -eu

broker=127.0.0.1:${LISTEN_TOOLS_PORT:-9094}
home=${KAFKA_HOME:-/opt/kafka}

partitions() { # of all topics but the broker's own: TOPIC PARTITION
  kcat -b "$broker" -L | awk '$1 == "topic" { gsub(/"/, "", $2); topic = $2 }
    $1 == "partition" && topic !~ /^__/ { sub(/,/, "", $2); print topic, $2 }'
}

offsets() { # WHICH (-2: first, -1: next), for the partitions on standard input: WHICH TOPIC PARTITION OFFSET
  awk -v which="$1" '{ print "-t"; print $1 ":" $2 ":" which }' | xargs kcat -b "$broker" -Q |
    awk -v which="$1" '{ gsub(/[][]/, "", $2); print which, $1, $2, $4 }'
}

# GROUP TOPIC PARTITION BEHIND; "-" where it has not begun. Little of a Java machine, as it shares the broker's memory.
consumers() {
  "${JAVA:-/usr/bin/java}" -Xmx48m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Djava.io.tmpdir="${TMPDIR:-/tmp}" \
    -Dlog4j2.configurationFile="$home/log4j2.properties" -cp "$home/libs/*" \
    org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server "$broker" --describe --all-groups --offsets 2>&1 |
    awk '/^$/ || /has no active members/ { next }
      $1 == "GROUP" { for (i = 1; i <= NF; i++) at[$i] = i; next }
      !("LAG" in at) || NF < 6 { print >"/dev/stderr"; next }
      $at["TOPIC"] != "-" { print $at["GROUP"], $at["TOPIC"], $at["PARTITION"], $at["LAG"] }'
}

list() {
  all=$(partitions)
  [ -n "$all" ] || return 0
  {
    printf '%s\n' "$all" | offsets -2
    printf '%s\n' "$all" | offsets -1
    consumers | sed 's/^/group /'
  } | awk '
    $1 == "group" {
      # <prefix>.<consumer>, as the topic is <prefix>.<aggregate>.v1
      prefix = $3; sub(/[^.]*\.v1(\.dlq)?$/, "", prefix)
      name = index($2, prefix) == 1 ? substr($2, length(prefix) + 1) : $2
      behind[$3 " " $4] = behind[$3 " " $4] " " name "=" $5
      next
    }
    { offset[$1 " " $2 " " $3] = $4; place[$2 " " $3] = 1 }
    END { for (p in place) print p, offset["-2 " p], offset["-1 " p] behind[p] }' | sort -k1,1 -k2,2n
}

newest() { # TOPIC COUNT
  topic=$(partitions | awk -v wanted="$1" '
    BEGIN { short = wanted; dlq = sub(/\.dlq$/, "", short) ? ".dlq" : ""; end = "." short ".v1" dlq }
    $1 == wanted { exact = $1 }
    length($1) > length(end) && substr($1, length($1) - length(end) + 1) == end { found = $1 }
    END { print exact ? exact : found }')
  [ -n "$topic" ] || { echo "there is no topic $1" >&2; exit 1; }
  kcat -b "$broker" -C -q -e -J -t "$topic" -o "-$2"
}

case $# in
  0) list ;;
  1 | 2) newest "$1" "${2:-10}" ;;
  *) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
