# shellcheck shell=bash
# Every node is a network namespace, all of them on one switch, which is a bridge in a namespace of
# its own: the machine's firewall sees one interface, shopop0, and its forwarding stays as it is. Sourced.
#
#   machine shopop0 10.245.0.1 ── shopop-switch ┬─ shopop-node1 10.245.0.11, pods 10.244.1.0/24
#                                               └─ shopop-node2 10.245.0.12, pods 10.244.2.0/24
#
# No node has a way out but the machine itself, and the machine forwards nothing: what runs in the
# cluster cannot reach the outside.



in_node() { local n=$1; shift; nsenter --net="/run/netns/shopop-node$n" "$@"; }

make_network() { # NODES
  local n m
  ip netns add shopop-switch
  ip -n shopop-switch link add bridge type bridge
  ip -n shopop-switch link set bridge up
  plug shopop0
  ip addr add "$SWITCH.1/24" dev shopop0
  ip link set shopop0 up
  for n in $(seq "$1"); do
    ip netns add "shopop-node$n"
    plug eth0 "shopop-node$n"
    ip -n "shopop-node$n" link set lo up
    ip -n "shopop-node$n" addr add "$SWITCH.1$n/24" dev eth0
    ip -n "shopop-node$n" link set eth0 up
    ip -n "shopop-node$n" route add default via "$SWITCH.1"
    in_node "$n" sysctl -qw net.ipv4.ip_forward=1
    ip route add "10.244.$n.0/24" via "$SWITCH.1$n"
  done
  for n in $(seq "$1"); do
    for m in $(seq "$1"); do
      [ "$n" = "$m" ] || ip -n "shopop-node$n" route add "10.244.$m.0/24" via "$SWITCH.1$m"
    done
  done
  # The machine reaches Services as if it were in the cluster; node1's kube-proxy answers for them.
  ip route add "$SERVICES" via "$SWITCH.11"
}

plug() { # INTERFACE [NAMESPACE]: a cable from there to the switch
  local port=p-${2:-machine}
  ip -n shopop-switch link add "${port:0:15}" type veth peer name "$1" netns "${2:-$$}"
  ip -n shopop-switch link set "${port:0:15}" master bridge up
}

# Routes go with their interface, interfaces with their namespace.
remove_network() {
  local file
  ip link del shopop0 2>/dev/null || true
  for file in /run/netns/shopop-*; do
    [ -e "$file" ] || continue
    # after a reboot the name may still be there without the namespace
    umount -l "$file" 2>/dev/null || true
    rm -f "$file"
  done
}
