# shellcheck shell=bash
# Builds programs from package registries into a cache outside the clone, each one once: its key is
# a hash of what it is made from, so a fresh clone elsewhere finds it ready. Sourced.

TOOLS=(kubernetes network-policy coredns metrics-server local-path-provisioner helm kubeconform versitygw)

fresh() { [ -e "$1" ] && [ "$(cat "$1.key" 2>/dev/null)" = "$2" ]; } # FILE KEY

# Runs a command that makes FILE, unless FILE was made from the same inputs. One at a time on the
# whole machine: two large Go builds side by side take longer than one after the other, and twice the memory.
make_once() { # FILE KEY WHAT COMMAND...
  local file=$1 key=$2 what=$3
  shift 3
  fresh "$file" "$key" && return
  mkdir -p "$(dirname "$file")"
  (
    flock 8
    fresh "$file" "$key" && exit
    log=$CACHE/$(basename "$file").log
    rm -f "$file.key"
    # not "… || die": inside such a condition bash would carry on after every error
    set +e
    alive "building $what" "$(usually "$what")" logged "$log" "$@"
    failed=$?
    set -e
    if [ $failed != 0 ] || [ ! -e "$file" ]; then
      tail -20 "$log" >&2
      die "could not build $what; the log is $log"
    fi
    echo "$key" >"$file.key"
    rm -f "$log"
  ) 8>"$CACHE/.build.lock"
}

# On two cores, with what it is made from to be fetched.
usually() { # WHAT
  case $1 in
    kubernetes*) echo "6 min" ;;
    versitygw* | network-policy* | coredns* | metrics-server* | helm*) echo "2 min" ;;
    image*pause* | image*/objects* | "image coredns" | definitions*) echo "a few seconds" ;;
    *) echo "1 min" ;;
  esac
}

# ---- Go ----

need_go() {
  command -v go >/dev/null || die "missing: go, 1.24 or later (a recent one fetches the version it needs by itself)"
}

# What programs/go.mod says of a program: the module whose version it has, and the package it is.
declare -A MODULE=(
  [kubernetes]=k8s.io/kubernetes
  [network-policy]=github.com/cloudnativelabs/kube-router/v2
  [coredns]=github.com/coredns/coredns
  [metrics-server]=sigs.k8s.io/metrics-server
  [local-path-provisioner]=github.com/rancher/local-path-provisioner
  [helm]=helm.sh/helm/v4
  [kubeconform]=github.com/yannh/kubeconform
  [stripe-mock]=github.com/stripe/stripe-mock
  [versitygw]=github.com/versity/versitygw
)
declare -A PACKAGE=(
  [kubernetes]=./kubernetes
  [network-policy]=./network-policy
  [coredns]=./coredns
  [metrics-server]=${MODULE[metrics-server]}/cmd/metrics-server
  [local-path-provisioner]=${MODULE[local-path-provisioner]}
  [helm]=${MODULE[helm]}/cmd/helm
  [kubeconform]=${MODULE[kubeconform]}/cmd/kubeconform
  [stripe-mock]=${MODULE[stripe-mock]}
  [versitygw]=.
)

# The folder of the Go module that a program is built in: its own if it has one, else that of all.
go_module() { # TOOL
  if [ -e "$HERE/programs/$1/go.mod" ]; then echo "programs/$1"; else echo programs; fi
}

version_of() { # TOOL
  awk -v module="${MODULE[$1]}" '$1 == module && $2 ~ /^v/ {print $2; exit}' "$HERE/$(go_module "$1")/go.mod"
}

# A program is made anew when a library changes, or its own main, but not when that of another does. It
# is also the tag of the program's image, so that what is made anew replaces what runs.
key_of() { # TOOL
  local module from=()
  module=$(go_module "$1")
  [ "$module" != programs ] || from+=(programs/go.mod programs/go.sum)
  [ ! -d "$HERE/programs/$1" ] || from+=("programs/$1")
  echo "$(version_of "$1")-$(digest "${from[@]}")"
}

build_program() { # TOOL
  local link="-s -w" minor prefix name
  need_go
  minor=$(version_of kubernetes | cut -d. -f2)
  case $1 in
    kubernetes)
      prefix=k8s.io/component-base/version.git
      link+=" -X ${prefix}Version=$(version_of kubernetes) -X ${prefix}Major=1 -X ${prefix}Minor=$minor -X ${prefix}TreeState=clean"
      ;;
    helm) # knows the Kubernetes it renders charts for only if told
      link+=" -X ${MODULE[helm]}/internal/version.version=$(version_of helm)"
      for prefix in internal/version.kubeClientVersion pkg/chart/common.k8sVersion pkg/chart/v2/lint/rules.k8sVersion; do
        link+=" -X ${MODULE[helm]}/${prefix}Major=1 -X ${MODULE[helm]}/${prefix}Minor=$minor"
      done
      ;;
  esac
  (cd "$HERE/$(go_module "$1")" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "$link" -o "$BIN/$1.new" "${PACKAGE[$1]}")
  # a new file in the place of a running one, not into it
  mv "$BIN/$1.new" "$BIN/$1"
  [ "$1" = kubernetes ] || return 0
  for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
    ln -sf kubernetes "$BIN/$name"
  done
}

build() { # TOOL...
  local tool
  for tool; do
    [ "$tool" != kubectl ] || tool=kubernetes
    [ -n "${MODULE[$tool]:-}" ] || die "no such tool: $tool (there are ${TOOLS[*]})"
    make_once "$BIN/$tool" "$(key_of "$tool")" "$tool $(version_of "$tool")" build_program "$tool"
  done
}

# ---- definitions of APIs that are not ours, as their projects publish them ----

DEFINITIONS=$CACHE/definitions-$(digest lib/build.sh versions)

definitions() { # fills that folder once: a file for each, named as its CustomResourceDefinition is
  make_once "$DEFINITIONS" "$PROMETHEUS_OPERATOR $GATEWAY_API" "definitions of optional APIs" collect_definitions
}

collect_definitions() {
  need_go
  mkdir -p "$DEFINITIONS"
  copy_definitions "github.com/prometheus-operator/prometheus-operator@$PROMETHEUS_OPERATOR" example/prometheus-operator-crd \
    monitoring.coreos.com servicemonitors prometheusrules
  copy_definitions "sigs.k8s.io/gateway-api@$GATEWAY_API" config/crd/standard gateway.networking.k8s.io gateways httproutes
}

copy_definitions() { # MODULE@VERSION DIRECTORY GROUP PLURAL...
  local from group=$3 plural
  # Go compares the module with its checksum database.
  (cd / && go mod download "$1")
  from=$(cd / && go list -m -f '{{.Dir}}' "$1")/$2
  shift 3
  for plural; do install -m 644 "$from/${group}_$plural.yaml" "$DEFINITIONS/$plural.$group.yaml"; done
}

# ---- engines that are not Debian packages: the image and the tests use the same files ----

kafka_home() { # prints a folder with libs/ and log4j2.properties, filled once
  local key home
  key=$(digest images/kafka/pom.xml images/kafka/log4j2.properties)
  home=$CACHE/kafka-$key
  make_once "$home" "$key" "Kafka $(grep -oP '(?<=<kafka.version>)[^<]+' "$HERE/images/kafka/pom.xml")" collect_kafka "$home"
  echo "$home"
}

collect_kafka() { # DIRECTORY
  packages maven=/usr/bin/mvn openjdk-17-jre-headless=/usr/bin/java
  rm -rf "$1"
  mkdir -p "$1"
  mvn -B -q --strict-checksums -f "$HERE/images/kafka/pom.xml" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$1/libs"
  cp "$HERE/images/kafka/log4j2.properties" "$1"
}

mail_home() { # prints a folder with node_modules/, filled once
  local key home
  key=$(digest images/mail/package.json images/mail/package-lock.json)
  home=$CACHE/mail-$key
  make_once "$home" "$key" "the mail sink" collect_mail "$home"
  echo "$home"
}

collect_mail() { # DIRECTORY
  # The Node of another source brings its own npm.
  command -v npm >/dev/null || packages nodejs=/usr/bin/node npm=/usr/bin/npm
  rm -rf "$1"
  mkdir -p "$1"
  cp "$HERE"/images/mail/package*.json "$1"
  (cd "$1" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund)
}
