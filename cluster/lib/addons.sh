# shellcheck shell=bash
# What runs inside the cluster for the cluster: DNS, metrics, storage. Sourced.

kubectl() { KUBECONFIG=$STATE/kubeconfig "$BIN/kubectl" "$@"; }

addons_manifest() {
  local n paths=()
  for n in $(each_node); do paths+=("{\"node\": \"node$n\", \"paths\": [\"$STATE/node$n/volumes\"]}"); done
  for n in "$HERE"/addons/*.yaml; do
    sed -e "s|@COREDNS@|$COREDNS|; s|@METRICS_SERVER@|$METRICS_SERVER|; s|@LOCAL_PATH_PROVISIONER@|$LOCAL_PATH_PROVISIONER|" \
      -e "s|@NODE_PATHS@|$(IFS=,; echo "${paths[*]}")|" "$n"
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

nodes_ready() { [ "$(kubectl get nodes --no-headers | grep -cw Ready)" = "$(nodes)" ]; }
addons_ready() {
  kubectl -n kube-system rollout status deploy/coredns --timeout=2s &&
    kubectl -n kube-system rollout status deploy/metrics-server --timeout=2s &&
    kubectl -n local-path-storage rollout status deploy/local-path-provisioner --timeout=2s
}
