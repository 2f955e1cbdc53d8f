# shellcheck shell=bash
# Somebody who works against kind or k3d instead of this cluster wants images there. Sourced.
# cluster/test has stand-ins for both programs: they need a Docker engine, which the machines of this project lack.

foreign_context() { # prints the context that is not ours: the one chosen, else the current one if it belongs to kind or k3d
  local context=${SHOP_CONTEXT:-} kubectl
  if [ -z "$context" ]; then
    kubectl=$(type -P kubectl) # and not our function, which knows our own cluster only
    context=$("$kubectl" config current-context 2>/dev/null) || return 1
    [[ ! -f $STATE/nodes && $context =~ ^(kind|k3d)- ]] || return 1
  fi
  echo "$context"
}

foreign_load() { # CONTEXT ARCHIVE...
  local context=$1 archive
  shift
  for archive; do
    case $context in
      kind-*) kind load image-archive --name "${context#kind-}" "$archive" ;;
      k3d-*) k3d image import --cluster "${context#k3d-}" "$archive" ;;
      *) die "no images can be put into the nodes of $context: push them to a registry (README.md, Use it on your cluster)" ;;
    esac
  done
}
