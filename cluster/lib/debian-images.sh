# shellcheck shell=bash
# Images of Postgres, Redis, Kafka, the mail sink and a shell: a root filesystem of only the Debian packages
# they need, our entry point, and a layer written by hand as for all other images. Sourced.
#
# images/NAME/packages    what is taken from Debian 12, with what it depends on
# images/NAME/prune       what of that is thrown away
# images/NAME/config.json how the image runs
# images/NAME/*.sh        put at the root of the image

# What no server needs: what set the packages up, described them, or translated them.
PRUNE='dev proc run var/cache var/lib/apt var/lib/dpkg var/log
etc/init.d etc/pam.d etc/systemd usr/lib/systemd lib/systemd
usr/bin/perl* usr/lib/*/perl* usr/lib/*/libperl* usr/share/perl* usr/lib/python3* usr/share/python3* usr/lib/*/gconv usr/share/i18n
usr/share/doc usr/share/man usr/share/info usr/share/lintian usr/share/locale usr/share/bash-completion usr/share/icons
usr/share/pixmaps usr/share/menu usr/share/applications usr/share/bug'

debian_images() { # NAME...: makes them and prints their archives
  local name image key inputs
  for name; do
    [ -n "${TAG[$name]:-}" ] || die "no such image: $name (there are ${!TAG[*]})"
    image=localhost/shop-operator/$name:${TAG[$name]}
    case $name in
      kafka) inputs=$(kafka_home) ;;
      mail) inputs=$(mail_home) ;;
      *) inputs= ;;
    esac
    key=$(digest "images/$name" lib/debian-images.sh)
    fresh "$IMAGES/$name.tar" "$key" || {
      need_root # whose right it is to unpack a system
      packages mmdebstrap=/usr/bin/mmdebstrap ca-certificates=/etc/ssl/certs/ca-certificates.crt
    }
    make_once "$IMAGES/$name.tar" "$key" "image $image" debian_image "$name" "$image" "$inputs" "$IMAGES/$name.tar"
    echo "$IMAGES/$name.tar"
  done
}

debian_image() { # NAME IMAGE INPUTS OUT
  local name=$1 image=$2 inputs=$3 out=$4 from=$HERE/images/$1 applet pattern
  root=$(mktemp -d)
  trap 'umount -l "$root/proc" 2>/dev/null || true; rm -rf "$root"' EXIT # root is not local: the trap runs after this function
  mmdebstrap --quiet --variant=extract --mode=root --include="$(paste -sd, "$from/packages")" bookworm "$root"
  while read -r pattern; do
    # shellcheck disable=SC2086 # patterns are to be expanded
    (cd "$root" && rm -rf $pattern)
  done < <(cat "$from/prune" - <<<"$PRUNE")
  mkdir -p "$root"/{bin,etc,tmp,data,run,proc,dev}
  for applet in $("$root/bin/busybox" --list); do
    [ -e "$root/bin/$applet" ] || [ -e "$root/usr/bin/$applet" ] || ln -s busybox "$root/bin/$applet"
  done
  printf 'root:x:0:0::/:/bin/sh\n%s:x:999:999::/data:/bin/sh\n' "$name" >"$root/etc/passwd"
  printf 'root:x:0:\n%s:x:999:\n' "$name" >"$root/etc/group"
  install -m 755 "$from"/*.sh "$root/" 2>/dev/null || true # not all have one
  if [ -n "$inputs" ]; then mkdir -p "$root/opt"; cp -a "$inputs" "$root/opt/$name"; fi
  [ "$name" != kafka ] || archive_classes "$root"
  chmod 755 "$root"
  write_archive "$root" "$image" "$(tr -d '\n' <"$from/config.json")" "$out"
}

# Runs the broker once and keeps the classes it loaded, parsed: every later start takes half the time.
archive_classes() { # ROOT
  local root=$1 java pid
  java=$(cd "$root" && echo usr/lib/jvm/java-17-openjdk-*/bin/java)
  ln -sf "/$java" "$root/usr/bin/java"
  # the archive remembers when every jar was changed; all files of an image say 1970
  find "$root/opt/kafka/libs" "$root/usr/lib/jvm" -exec touch -h -d @0 {} +
  mount -t proc proc "$root/proc"
  chroot "$root" /usr/bin/java -Xshare:dump -XX:+UseSerialGC >/dev/null
  rm -f "$root"/usr/lib/jvm/*/lib/server/classes_nocoops.jsa
  # Ports below those that the kernel gives to whoever calls somebody.
  port_free 28092
  chroot "$root" /bin/sh -c 'exec env KAFKA_DATA=/tmp/data KAFKA_BIND=127.0.0.1 KAFKA_ADVERTISED_HOST=127.0.0.1 LISTEN_PORT=28092 \
    LISTEN_CONTROLLER_PORT=28093 LISTEN_TOOLS_PORT=28094 KAFKA_WRITE_CLASSES=/opt/kafka/classes.jsa /entrypoint.sh' &
  pid=$!
  await 120 "Kafka does not start" port_open 28092
  kill $pid
  wait $pid || true
  [ -s "$root/opt/kafka/classes.jsa" ]
  umount "$root/proc"
  rm -rf "$root"/tmp/*
}
