# shellcheck shell=bash
# One node: containerd, kubelet and kube-proxy in the network namespace of the node. Sourced.

nodes() { cat "$STATE/nodes"; }
each_node() { seq "$(nodes)"; }
in_containerd() { local n=$1; shift; ctr -a "$STATE/node$n/containerd.sock" -n k8s.io "$@"; }

# Each kubelet owns a cgroup: two of them under one root kill each other's pods.
make_cgroups() {
  local root=/sys/fs/cgroup n dir file
  if [ -f $root/cgroup.controllers ]; then
    for dir in $root $root/shopop; do
      mkdir -p "$dir"
      sed 's/\(^\| \)/ +/g' "$dir/cgroup.controllers" >"$dir/cgroup.subtree_control"
    done
    for n in $(each_node); do mkdir -p "$root/shopop/node$n"; done
    return
  fi
  for dir in "$root"/*/; do
    for n in "" $(each_node); do
      mkdir -p "${dir}shopop${n:+/node$n}" 2>/dev/null || continue
      for file in cpuset.cpus cpuset.mems; do
        [ ! -f "$dir$file" ] || cat "$dir$file" >"${dir}shopop${n:+/node$n}/$file"
      done
    done
  done
}

cgroup_processes() { find /sys/fs/cgroup -path '*/shopop/*' -name cgroup.procs -exec cat {} + 2>/dev/null | sort -un; }
no_cgroup_processes() { [ -z "$(cgroup_processes)" ]; }

start_containerd() { # NODE
  local n=$1 N=$STATE/node$1
  mkdir -p "$N/cni"
  # A point-to-point link for every pod, so that even a packet to a neighbour on the node is routed
  # and meets kube-proxy and the network policies. A bridge would carry it past them.
  cat >"$N/cni/10-pods.conflist" <<EOF
{"cniVersion": "1.0.0", "name": "shopop-node$n", "plugins": [
  {"type": "ptp", "ipam": {"type": "host-local", "dataDir": "$N/ipam", "ranges": [[{"subnet": "10.244.$n.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
EOF
  cat >"$N/containerd.toml" <<EOF
version = 2
root = "$N/containerd/root"
state = "$N/containerd/state"
[grpc]
  address = "$N/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$N/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/shop-operator/pause:1"
  # not every machine lets its processes ask for less than they were given
  restrict_oom_score_adj = true
  # found again, and only ours, when the cluster goes down
  netns_mounts_under_state_dir = true
  # as newer containerds do: DNS on port 53 without a capability
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$N/cni"
EOF
  spawn "containerd$n" nsenter --net="/run/netns/shopop-node$n" containerd -c "$N/containerd.toml"
}

start_kubelet() { # NODE
  local n=$1 N=$STATE/node$1 pki=$STATE/pki
  kubeconfig "$N/kubelet.kubeconfig" "https://$SWITCH.1:6443" "$(cat "$pki/node$n.token")" "$pki"
  kubeconfig "$N/proxy.kubeconfig" "https://$SWITCH.1:6443" "$(cat "$pki/proxy.token")" "$pki"
  cat >"$N/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
cgroupRoot: /shopop/node$n
failSwapOn: false
failCgroupV1: false
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
resolvConf: ""
podLogsDir: $N/logs
volumePluginDir: $N/plugins
tlsCertFile: $pki/node$n.crt
tlsPrivateKeyFile: $pki/node$n.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://$N/containerd.sock
# Images come by load-image only, so one that is thrown away does not come back. A disk that fills up is no reason for it either: a
# kubelet that watches the disk begins by throwing away the images that nothing runs, which to it is also that of the pods' own
# namespaces. containerd reports an image as pinned from 1.7 on; Debian 12 has 1.6.
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "100Mi"}
# What changes in a ConfigMap reaches the files of its pods with the next look: shares of a rollout, for example.
syncFrequency: 10s
EOF
  spawn "kubelet$n" nsenter --net="/run/netns/shopop-node$n" "$BIN/kubelet" --config="$N/kubelet.yaml" \
    --kubeconfig="$N/kubelet.kubeconfig" --root-dir="$N/kubelet" --hostname-override="node$n" --node-ip="$SWITCH.1$n"
  spawn "kube-proxy$n" nsenter --net="/run/netns/shopop-node$n" "$BIN/kube-proxy" --kubeconfig="$N/proxy.kubeconfig" \
    --hostname-override="node$n" --proxy-mode=nftables --cluster-cidr="$PODS" --conntrack-max-per-core=0
}

# Enforces NetworkPolicies. After the node is registered, since it asks for its addresses.
start_network_policy() { # NODE
  local n=$1 N=$STATE/node$1
  kubeconfig "$N/network-policy.kubeconfig" "https://$SWITCH.1:6443" "$(cat "$STATE/pki/network-policy.token")" "$STATE/pki"
  spawn "network-policy$n" nsenter --net="/run/netns/shopop-node$n" "$BIN/network-policy" \
    --kubeconfig "$N/network-policy.kubeconfig" --node "node$n" --services "$SERVICES"
}
enforcing() { [[ $(in_node "$1" iptables -w -S KUBE-ROUTER-FORWARD) == *KUBE-POD-FW* ]]; } # NODE: its pods have rules

# Ends every container: what the pods run lives in our cgroup and nowhere else. Databases get
# their signal and five seconds.
stop_containers() {
  local pid
  cgroup_processes | xargs -r kill 2>/dev/null || true
  eventually 5 no_cgroup_processes || cgroup_processes | xargs -r kill -KILL 2>/dev/null || true
  # A shim outlives both its container and containerd; its command line names our socket.
  for pid in $(pgrep -f "^/usr/bin/containerd-shim-runc-v2 .* -address $STATE/node[0-9]+/containerd.sock" || true); do
    kill -KILL "$pid" 2>/dev/null || true
  done
  await 10 "containers do not end" no_cgroup_processes
}

# Mounts under our own state: overlays, volumes, secrets, network namespaces of pods.
unmount_all() { awk -v s="$STATE/node" 'index($2, s) == 1 {print $2}' /proc/mounts | sort -r | xargs -r -n 50 umount -l; }

remove_cgroups() { find /sys/fs/cgroup -depth -type d \( -path '*/shopop/*' -o -name shopop \) -exec rmdir {} + 2>/dev/null || true; }
