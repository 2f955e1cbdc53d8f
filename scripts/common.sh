# shellcheck shell=bash disable=SC2034
# What the scripts share. Sourced.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Everything that is built outlives the clone, and is shared by all clones.
export SHOP_CACHE="${SHOP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/shop-operator}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$SHOP_CACHE/target}"
export SQLX_OFFLINE="${SQLX_OFFLINE:-true}"
export PATH="$SHOP_CACHE/bin:$SHOP_CACHE/cargo/bin:$PATH"
mkdir -p "$SHOP_CACHE"

# Cargo takes what another clone has built for its own if the files here are older, because it knows our
# crates by their paths inside the clone. So whoever comes second is made newer.
if [ "$(cat "$CARGO_TARGET_DIR/clone" 2>/dev/null)" != "$PWD" ]; then
    git ls-files -z operator services e2e bench | xargs -0 touch -c
    mkdir -p "$CARGO_TARGET_DIR"
    echo "$PWD" >"$CARGO_TARGET_DIR/clone"
fi

SERVICES=(gateway user catalog cart order payment inventory review notification)
TARGET=x86_64-unknown-linux-gnu

. cluster/lib/alive.sh

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# All programs, for the images and for what measures and checks.
programs() { alive "programs" "a minute, the first time 15 min" cargo build --release --workspace --bins >&2; }

# What a bare machine lacks. Debian's own packages are installed, the rest is named.
setup() {
    command -v cargo >/dev/null || die "Rust is missing: install rustup, which reads rust-toolchain.toml"
    command -v go >/dev/null || die "Go is missing: install Go 1.24 or newer"
    # OpenSSL and librdkafka are built from source; scripts read JSON.
    debian build-essential=gcc cmake=cmake perl=perl pkg-config=pkg-config git=git jq=jq curl=curl \
        postgresql-client=psql file=file
}

# Installs those of Debian's packages whose commands are missing.
debian() { # PACKAGE=COMMAND...
    local missing=() package
    for package in "$@"; do
        command -v "${package#*=}" >/dev/null || missing+=("${package%%=*}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    [ "$(id -u)" = 0 ] || die "these packages are missing: ${missing[*]}"
    command -v apt-get >/dev/null || die "these packages are missing: ${missing[*]}"
    alive "installing ${missing[*]}" "half a minute" install_packages "${missing[@]}"
}
install_packages() { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "$@" >/dev/null; }

# Chooses the cluster: CONTEXT if given; else kind or k3d if that is what the kubeconfig points at; else our own.
# Sets KUBECONFIG so that nothing afterwards can reach another cluster, and SHOP_CONTEXT if it is not our own.
choose_cluster() {
    local context=${CONTEXT:-}
    if [ -z "$context" ]; then
        context=$(kubectl config current-context 2>/dev/null || true)
        case $context in
        kind-* | k3d-*) ;;
        *) context= ;;
        esac
    fi
    if [ -z "$context" ]; then
        say "cluster"
        cluster/cluster up
        cluster/cluster build helm >/dev/null
        KUBECONFIG=$(cluster/cluster kubeconfig)
        AUDIT_LOG=$(cluster/cluster audit-log)
        export AUDIT_LOG
    else
        command -v kubectl >/dev/null || die "kubectl is missing"
        command -v helm >/dev/null || cluster/cluster build helm >/dev/null
        local pinned="$SHOP_CACHE/kubeconfig-$context"
        (umask 077 && kubectl config view --minify --flatten --context "$context" >"$pinned") ||
            die "there is no context $context in the kubeconfig"
        KUBECONFIG=$pinned
        export SHOP_CONTEXT=$context
    fi
    export KUBECONFIG
}
