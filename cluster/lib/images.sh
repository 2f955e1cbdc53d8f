# shellcheck shell=bash
# Image archives: made from binaries and Debian's root filesystems, kept in the cache. Sourced.

ENGINES=(postgres redis kafka mail objects)
declare -A TAG=([postgres]=15 [redis]=7 [kafka]=4.1 [mail]=2 [objects]=1 [busybox]=1)

# ---- FROM scratch ----

# Writes a docker-archive with one layer that is the given directory. By hand, because an image is
# two JSON files and a tar, and buildah takes twenty times as long to say the same.
write_archive() { # ROOT IMAGE CONFIG-JSON OUT
  local root=$1 image=$2 config=$3 out=$4 work layer
  work=$(mktemp -d "$out.XXXXXX")
  tar --sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 -C "$root" -cf "$work/layer.tar" .
  layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
  printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{}]}' \
    "$(architecture)" "$config" "$layer" >"$work/config.json"
  printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$image" >"$work/manifest.json"
  tar -C "$work" -cf "$out.new" manifest.json config.json layer.tar
  mv "$out.new" "$out"
  rm -rf "$work"
}

architecture() { case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) uname -m ;; esac; }

# One static binary, the certificates of the authorities Debian trusts, and a user to run as.
scratch_image() { # BINARY NAME IMAGE OUT
  local root
  root=$(mktemp -d)
  mkdir -p "$root/etc/ssl/certs"
  cp --reflink=auto "$1" "$root/$2"
  chmod 755 "$root" "$root/$2"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  printf 'root:x:0:0::/:\nnonroot:x:65532:65532::/:\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
  write_archive "$root" "$3" "{\"User\":\"65532:65532\",\"Entrypoint\":[\"/$2\"],\"WorkingDir\":\"/\",\"Env\":[\"PATH=/\"]}" "$4"
  rm -rf "$root"
}

# ---- what the cluster itself runs ----

base_images() { # makes them and prints their archives
  build coredns metrics-server local-path-provisioner
  packages gcc=/usr/bin/cc libc6-dev=/usr/include/stdio.h ca-certificates=/etc/ssl/certs/ca-certificates.crt
  local tool
  make_once "$IMAGES/pause.tar" "$(digest images/pause lib/images.sh)" "image pause" pause_image "$IMAGES/pause.tar"
  for tool in coredns metrics-server local-path-provisioner; do
    make_once "$IMAGES/$tool.tar" "$(cat "$BIN/$tool.key")-$(digest lib/images.sh)" "image $tool" \
      scratch_image "$BIN/$tool" "$tool" "localhost/shop-operator/$tool:$(cat "$BIN/$tool.key")" "$IMAGES/$tool.tar"
  done
  printf "$IMAGES/%s.tar\n" pause coredns metrics-server local-path-provisioner
  debian_images busybox # a shell and the usual small tools, for the pods that make volumes and for tests
}

pause_image() { # OUT
  local root
  root=$(mktemp -d)
  chmod 755 "$root"
  cc -Os -static -s -o "$root/pause" "$HERE/images/pause/pause.c"
  write_archive "$root" localhost/shop-operator/pause:1 '{"User":"65535:65535","Entrypoint":["/pause"]}' "$1"
  rm -rf "$root"
}

# ---- what shops stand on ----

engine_images() { # NAME...: makes them and prints their archives
  local name
  for name; do
    case $name in
      objects) objects_image ;;
      *) debian_images "$name" ;;
    esac
  done
}

# The object store is one static program, and needs nothing of Debian.
objects_image() {
  local image=localhost/shop-operator/objects:${TAG[objects]} out=$IMAGES/objects.tar
  build versitygw
  packages ca-certificates=/etc/ssl/certs/ca-certificates.crt
  make_once "$out" "$(cat "$BIN/versitygw.key")-$(digest lib/images.sh)" "image $image" scratch_image "$BIN/versitygw" versitygw "$image" "$out"
  echo "$out"
}

# ---- loading ----

archive_image() { tar -xOf "$1" manifest.json | grep -o '"RepoTags":\["[^"]*"' | cut -d'"' -f4; } # ARCHIVE

# Puts archives into every node, skipping what is there. By name and not by digest alone, since a
# name may move to another archive and back; and a file that nobody touched is not read again.
load_images() { # ARCHIVE...
  local archive image file sum mark n jobs job
  for archive; do
    [ -f "$archive" ] || die "there is no $archive"
    file=$(stat -Lc '%n %i %s %y' "$archive")
    image='' sum='' jobs=()
    for n in $(each_node); do
      mkdir -p "$STATE/node$n/loaded"
      ! grep -qFxs "$file" "$STATE/node$n/loaded"/* || continue
      if [ -z "$sum" ]; then
        image=$(archive_image "$archive") || true
        [ -n "$image" ] || die "$archive is no docker-archive with a name"
        sum=$(sha256sum "$archive" | cut -d' ' -f1)
      fi
      mark=$STATE/node$n/loaded/${image//\//_}
      if grep -qFxs "$sum" "$mark"; then
        printf '%s\n' "$sum" "$file" >"$mark"
        continue
      fi
      {
        rm -f "$mark"
        in_containerd "$n" images import "$archive" >/dev/null
        printf '%s\n' "$sum" "$file" >"$mark"
      } 9>&- &
      jobs+=($!)
    done
    for job in "${jobs[@]}"; do wait "$job" || die "could not load $archive"; done
    [ ${#jobs[@]} -eq 0 ] || say "loaded $image"
  done
}
