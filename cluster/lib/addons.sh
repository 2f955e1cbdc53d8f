# shellcheck shell=bash
# What runs inside the cluster for the cluster: DNS, metrics, storage. Sourced.

kubectl() { KUBECONFIG=$STATE/kubeconfig "$BIN/kubectl" "$@"; }

addons_manifest() {
  local n paths=()
  for n in $(each_node); do paths+=("{\"node\": \"node$n\", \"paths\": [\"$STATE/node$n/volumes\"]}"); done
  for n in "$HERE"/addons/*.yaml; do
    sed -e "s|@COREDNS@|$(key_of coredns)|; s|@METRICS_SERVER@|$(key_of metrics-server)|" \
      -e "s|@LOCAL_PATH_PROVISIONER@|$(key_of local-path-provisioner)|" -e "s|@NODE_PATHS@|$(IFS=,; echo "${paths[*]}")|" "$n"
    echo ---
  done
}

# Applies only what changed since the last time: a second `up` says nothing to the API server.
apply_addons() {
  local manifest key
  manifest=$(addons_manifest)
  key=$(sha256sum <<<"$manifest")
  [ "$(cat "$STATE/addons.key" 2>/dev/null)" != "$key" ] || return 0
  kubectl apply --server-side --force-conflicts -f - <<<"$manifest" >/dev/null || die "could not apply the add-ons"
  echo "$key" >"$STATE/addons.key"
}

# After a restart the API server still believes what it last heard, so a node only counts from its
# first sign of life, and DNS when it answers.
nodes_ready() { # SINCE, as in 2026-01-31T10:00:00
  local name renewed alive=0
  while read -r name renewed; do
    [[ $renewed < $1 ]] || alive=$((alive + 1))
  done < <(kubectl -n kube-node-lease get leases -o jsonpath='{range .items[*]}{.metadata.name} {.spec.renewTime}{"\n"}{end}')
  [ "$alive" = "$(nodes)" ] && [ "$(kubectl get nodes --no-headers | grep -cw Ready)" = "$(nodes)" ]
}

addons_ready() {
  busybox nslookup kubernetes.default.svc.cluster.local 10.96.0.10 &&
    kubectl get deploy -A -o jsonpath='{range .items[?(@.metadata.labels.shop-operator\.io/add-on)]}{.spec.replicas}={.status.readyReplicas}{"\n"}{end}' |
    awk -F= '$1 != $2 || NF != 2 {bad = 1} END {exit bad || NR == 0}' &&
    kubectl get --raw /apis/metrics.k8s.io/v1beta1
}
