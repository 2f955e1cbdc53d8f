# shellcheck shell=bash
# etcd, the API server, controller manager and scheduler: processes of the machine itself, with
# certificates and tokens made once per state. Sourced.

PODS=10.244.0.0/16        # of pods; every node has a /24 of it
SERVICES=10.96.0.0/16     # of Services
SWITCH=10.245.0           # of the nodes; .1 is the machine, .11 and on are nodes
MOST_NODES=9              # tokens are made for so many at once

# ---- identities ----

kubeconfig() { # FILE SERVER TOKEN PKI: self-contained, so that it can be copied anywhere
  (umask 077; cat >"$1.new") <<EOF
apiVersion: v1
kind: Config
clusters: [{name: shop-operator, cluster: {server: "$2", certificate-authority-data: $(base64 -w0 "$4/ca.crt")}}]
users: [{name: admin, user: {token: "$3"}}]
contexts: [{name: shop-operator, context: {cluster: shop-operator, user: admin}}]
current-context: shop-operator
EOF
  mv "$1.new" "$1"
}

sign() { # PKI NAME SUBJECT [SUBJECT-ALT-NAMES]
  openssl ecparam -genkey -name prime256v1 -noout -out "$1/$2.key"
  openssl req -new -key "$1/$2.key" -subj "$3" |
    openssl x509 -req -CA "$1/ca.crt" -CAkey "$1/ca.key" -CAcreateserial -days 3650 ${4:+-extfile <(echo "subjectAltName=$4")} \
      -out "$1/$2.crt" 2>/dev/null
}

authority() { # PKI NAME
  openssl ecparam -genkey -name prime256v1 -noout -out "$1/$2.key"
  openssl req -x509 -new -key "$1/$2.key" -subj "/CN=$2" -days 3650 -out "$1/$2.crt" 2>/dev/null
}

make_pki() { # PKI
  [ ! -f "$1/complete" ] || return 0
  local pki=$1 user n names=DNS:localhost,IP:127.0.0.1,IP:10.96.0.1,IP:$SWITCH.1 name=kubernetes
  rm -rf "$pki"
  (umask 077; mkdir -p "$pki")
  for n in "" .default .svc .cluster.local; do name+=$n; names+=,DNS:$name; done
  authority "$pki" ca
  sign "$pki" api /CN=kube-apiserver "$names"
  sign "$pki" kubelet-client /O=system:masters/CN=kube-apiserver
  # a second authority: whoever it vouches for may speak in the name of others to extension API servers
  authority "$pki" proxy-ca
  openssl ecparam -genkey -name prime256v1 -noout -out "$pki/proxy.key"
  openssl req -new -key "$pki/proxy.key" -subj /CN=aggregator |
    openssl x509 -req -CA "$pki/proxy-ca.crt" -CAkey "$pki/proxy-ca.key" -CAcreateserial -days 3650 -out "$pki/proxy.crt" 2>/dev/null
  openssl genrsa -out "$pki/sa.key" 2048 2>/dev/null
  openssl rsa -in "$pki/sa.key" -pubout -out "$pki/sa.pub" 2>/dev/null
  for user in admin controller-manager scheduler proxy network-policy $(seq -f node%g $MOST_NODES); do openssl rand -hex 16 >"$pki/$user.token"; done
  {
    echo "$(cat "$pki/admin.token"),admin,1,system:masters"
    echo "$(cat "$pki/controller-manager.token"),system:kube-controller-manager,2"
    echo "$(cat "$pki/scheduler.token"),system:kube-scheduler,3"
    echo "$(cat "$pki/proxy.token"),system:kube-proxy,4"
    echo "$(cat "$pki/network-policy.token"),shop-operator:network-policy,5"
    for n in $(seq $MOST_NODES); do
      echo "$(cat "$pki/node$n.token"),system:node:node$n,1$n,system:nodes"
      sign "$pki" "node$n" "/O=system:nodes/CN=system:node:node$n" "DNS:node$n,IP:$SWITCH.1$n"
    done
  } >"$pki/tokens.csv"
  touch "$pki/complete"
}

# ---- processes ----

start_etcd() { # DIRECTORY CLIENT-PORT [FLAG...]
  local dir=$1 port=$2
  shift 2
  port_free "$port"
  port_free $((port + 1))
  (umask 077; mkdir -p "$dir")
  spawn etcd etcd --data-dir "$dir" --log-level warn --auto-compaction-retention 1 "$@" \
    --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
    --listen-peer-urls "http://127.0.0.1:$((port + 1))"
  ready etcd 60 curl -fsS "http://127.0.0.1:$port/health"
}

start_apiserver() { # PROCESS-NAME PKI PORT ETCD-PORT [FLAG...]
  local name=$1 pki=$2 port=$3 etcd=$4
  shift 4
  port_free "$port"
  spawn "$name" "$BIN/kube-apiserver" --etcd-servers="http://127.0.0.1:$etcd" --secure-port="$port" \
    --tls-cert-file="$pki/api.crt" --tls-private-key-file="$pki/api.key" --client-ca-file="$pki/ca.crt" --token-auth-file="$pki/tokens.csv" \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
    --service-cluster-ip-range=$SERVICES --allow-privileged=true "$@"
}

api_ready() { curl -fsS --max-time 5 --cacert "$1/ca.crt" -H "Authorization: Bearer $(cat "$1/admin.token")" "https://127.0.0.1:$2/readyz"; } # PKI PORT

control_plane() {
  local pki=$STATE/pki
  start_etcd "$STATE/etcd" 2379
  # Mutating requests only, who did what: tests count the writes of a user there.
  cat >"$STATE/audit.yaml" <<EOF
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: None, verbs: [get, list, watch]}, {level: Metadata}]
EOF
  start_apiserver kube-apiserver "$pki" 6443 2379 --advertise-address=$SWITCH.1 \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction,PodSecurity \
    --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --requestheader-client-ca-file="$pki/proxy-ca.crt" --requestheader-allowed-names=aggregator \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$pki/proxy.crt" --proxy-client-key-file="$pki/proxy.key" --enable-aggregator-routing=true \
    --audit-policy-file="$STATE/audit.yaml" --audit-log-path="$LOG/audit.log" --audit-log-maxsize=50 --audit-log-maxbackup=3
  kubeconfig "$STATE/kubeconfig" https://127.0.0.1:6443 "$(cat "$pki/admin.token")" "$pki"
  kubeconfig "$STATE/controller-manager.kubeconfig" https://127.0.0.1:6443 "$(cat "$pki/controller-manager.token")" "$pki"
  kubeconfig "$STATE/scheduler.kubeconfig" https://127.0.0.1:6443 "$(cat "$pki/scheduler.token")" "$pki"
  ready kube-apiserver 120 api_ready "$pki" 6443
  spawn kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$STATE/controller-manager.kubeconfig" --use-service-account-credentials \
    --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --leader-elect=false --allocate-node-cidrs --cluster-cidr="$PODS" --service-cluster-ip-range=$SERVICES --bind-address=127.0.0.1
  spawn kube-scheduler "$BIN/kube-scheduler" --kubeconfig="$STATE/scheduler.kubeconfig" --leader-elect=false --bind-address=127.0.0.1
}

# etcd and an API server and nothing else, for tests that want the real API and no nodes. There are
# no controllers: nothing is garbage-collected, no pod gets an account, namespaces end as "Terminating".
bare_apiserver() { # DIRECTORY PORT
  local dir=$1 port=$2
  make_pki "$dir/pki"
  halt etcd
  start_etcd "$dir/etcd" $((port - 20)) --snapshot-count 10000
  start_apiserver apiserver "$dir/pki" "$port" $((port - 20)) --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --endpoint-reconciler-type=none \
    --authorization-mode=RBAC --enable-admission-plugins=PodSecurity --disable-admission-plugins=ServiceAccount
  kubeconfig "$dir/kubeconfig" "https://127.0.0.1:$port" "$(cat "$dir/pki/admin.token")" "$dir/pki"
  ready apiserver 120 api_ready "$dir/pki" "$port"
}
