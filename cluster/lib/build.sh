# shellcheck shell=bash
# Builds programs from package registries into a cache outside the clone, each one once: its key is
# a hash of what it is made from, so a fresh clone elsewhere finds it ready. Sourced.

TOOLS=(kubernetes network-policy coredns metrics-server local-path-provisioner helm kubeconform)

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
    say "building $what …"
    begun=$SECONDS log=$CACHE/$(basename "$file").log
    rm -f "$file.key"
    # not "… || die": inside such a condition bash would carry on after every error
    set +e
    (set -e; "$@") >"$log" 2>&1 8>&- 9>&-
    failed=$?
    set -e
    if [ $failed != 0 ] || [ ! -e "$file" ]; then
      tail -20 "$log" >&2
      die "could not build $what; the log is $log"
    fi
    echo "$key" >"$file.key"
    rm -f "$log"
    say "building $what … $((SECONDS - begun)) s"
  ) 8>"$CACHE/.build.lock"
}

# ---- Go ----

need_go() {
  command -v go >/dev/null || die "missing: go, 1.24 or later (a recent one fetches the version it needs by itself)"
}

LINK="-s -w"

go_install() { # FILE PACKAGE@VERSION [LDFLAGS]
  need_go
  bin=$(mktemp -d "$CACHE/go.XXXXXX")
  trap 'rm -rf "$bin"' EXIT # not local: the trap runs after this function
  (cd / && GOBIN=$bin CGO_ENABLED=0 go install -trimpath -ldflags "$LINK ${3:-}" "$2")
  # a new file in the place of a running one, not into it
  mv "$bin"/* "$1"
}

go_module() { # FILE DIRECTORY [LDFLAGS]: a program of our own, with its modules locked by go.sum
  need_go
  (cd "$2" && CGO_ENABLED=0 go build -trimpath -ldflags "$LINK ${3:-}" -o "$1.new" .)
  mv "$1.new" "$1"
}

build_kubernetes() {
  local v=k8s.io/component-base/version name
  go_module "$BIN/kubernetes" "$HERE/kubernetes" \
    "-X $v.gitVersion=$KUBERNETES -X $v.gitMajor=1 -X $v.gitMinor=${KUBERNETES:3:2} -X $v.gitTreeState=clean"
  for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
    ln -sf kubernetes "$BIN/$name"
  done
}

build() { # TOOL...
  local tool
  for tool; do
    case $tool in
      kubernetes|kubectl) make_once "$BIN/kubernetes" "$KUBERNETES-$(digest kubernetes)" "Kubernetes $KUBERNETES" build_kubernetes ;;
      network-policy) make_once "$BIN/network-policy" "$(digest network-policy)" "the network policy engine" \
        go_module "$BIN/network-policy" "$HERE/network-policy" ;;
      coredns) make_once "$BIN/coredns" "$COREDNS" "CoreDNS $COREDNS" \
        go_install "$BIN/coredns" "github.com/coredns/coredns@$COREDNS" ;;
      metrics-server) make_once "$BIN/metrics-server" "$METRICS_SERVER" "metrics-server $METRICS_SERVER" \
        go_install "$BIN/metrics-server" "sigs.k8s.io/metrics-server/cmd/metrics-server@$METRICS_SERVER" ;;
      local-path-provisioner) make_once "$BIN/local-path-provisioner" "$LOCAL_PATH_PROVISIONER" "local-path-provisioner $LOCAL_PATH_PROVISIONER" \
        go_install "$BIN/local-path-provisioner" "github.com/rancher/local-path-provisioner@$LOCAL_PATH_PROVISIONER" ;;
      helm) make_once "$BIN/helm" "$HELM" "Helm $HELM" \
        go_install "$BIN/helm" "helm.sh/helm/v4/cmd/helm@$HELM" "-X helm.sh/helm/v4/internal/version.version=$HELM" ;;
      kubeconform) make_once "$BIN/kubeconform" "$KUBECONFORM" "kubeconform $KUBECONFORM" \
        go_install "$BIN/kubeconform" "github.com/yannh/kubeconform/cmd/kubeconform@$KUBECONFORM" ;;
      *) die "no such tool: $tool (there are ${TOOLS[*]})" ;;
    esac
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
    monitoring.coreos.com servicemonitors
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
