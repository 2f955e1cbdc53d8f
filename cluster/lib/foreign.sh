# shellcheck shell=bash
# Somebody who works against kind or k3d instead of this cluster wants images there. Sourced.
# Not covered by cluster/test: it needs a Docker engine, which the machines of this project lack.

foreign_context() { # prints the current context if it belongs to kind or k3d
  local context
  context=$( (command -v kubectl >/dev/null && kubectl config current-context) 2>/dev/null) || return 1
  case $context in
    kind-*) command -v kind >/dev/null && echo "$context" ;;
    k3d-*) command -v k3d >/dev/null && echo "$context" ;;
    *) return 1 ;;
  esac
}

foreign_load() { # CONTEXT ARCHIVE...
  local context=$1 archive
  shift
  for archive; do
    case $context in
      kind-*) kind load image-archive --name "${context#kind-}" "$archive" ;;
      k3d-*) k3d image import --cluster "${context#k3d-}" "$archive" ;;
    esac
  done
}
