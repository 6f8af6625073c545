#!/usr/bin/env bash
# Readies a Docker Engine for the container tests, without a registry.
#
#   eval "$(engine.sh up DIR)"   sets DOCKER, the client, and DOCKER_HOST
#   engine.sh down DIR           stops the engine that `up` started
#
# An engine that is reachable already is used as it is, and fetches the base
# images itself. Otherwise, as root on Debian, Docker Engine is installed from
# Debian's packages and started below DIR: on a socket of its own, without
# touching the machine's network. Its base images are made from the machine's Go
# and from Debian packages, with the names that the Dockerfile has.
#
# Exit code 3 says that no engine can run here; the reason is on stderr.
set -euo pipefail

# A newer client elsewhere in PATH may need plug-ins that are not installed.
docker=/usr/bin/docker
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)

say() { echo "engine: $*" >&2; }
none() {
  say "no container engine can run here: $*"
  exit 3
}

# default NAME prints the default of a build argument of the Dockerfile.
default() { sed -n "s/^ARG $1=//p" "$repo/Dockerfile"; }

install_engine() {
  [ -x /usr/sbin/dockerd ] && [ -x $docker ] && return
  command -v apt-get >/dev/null || none "Docker is not installed, and this is no Debian to install it from"
  say "installing Docker Engine from Debian's packages"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io; } >&2 ||
    none "Docker's packages cannot be installed"
}

start_engine() {
  # Without iptables and a bridge nothing of the machine is changed; containers
  # have the machine's network or none.
  /usr/sbin/dockerd --data-root "$dir/data" --exec-root "$dir/exec" -p "$dir/pid" -H "unix://$dir/sock" \
    --iptables=false --ip6tables=false --bridge=none --default-ulimit nofile=20000:20000 \
    </dev/null >"$dir/log" 2>&1 &
  local pid=$!
  for _ in $(seq 300); do
    if $docker -H "unix://$dir/sock" version >/dev/null 2>&1; then return; fi
    kill -0 $pid 2>/dev/null || break
    sleep 0.1
  done
  tail -n 5 "$dir/log" >&2
  stop_engine
  none "dockerd does not start (its log is in $dir/log)"
}

stop_engine() {
  local pid
  pid=$(cat "$dir/pid" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 300); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null || true
  # It leaves the namespace of the machine's network mounted.
  local mount
  while read -r mount; do
    umount "$mount" || say "still mounted: $mount"
  done < <(awk -v "dir=$dir/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r)
}

# unpack puts the files of Debian packages into a folder, without their scripts.
unpack() {
  local root=$1
  shift
  mkdir -p "$dir/debs" "$root"
  local name
  for name in "$@"; do
    compgen -G "$dir/debs/${name}_*.deb" >/dev/null ||
      (cd "$dir/debs" && apt-get download -qq -o APT::Sandbox::User=root "$name") >&2
    dpkg-deb -x "$dir"/debs/"${name}"_*.deb "$root"
  done
  # What the scripts would have made: the certificates that this machine trusts.
  mkdir -p "$root/etc/ssl/certs" "$root/tmp" "$root/root"
  chmod 1777 "$root/tmp"
  cp -L "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$root/etc/ssl/certs/ca-certificates.crt"
}

import() { # FOLDER NAME CHANGE...
  local root=$1 name=$2 change=()
  shift 2
  local c
  for c in "$@"; do change+=(--change "$c"); done
  tar -C "$root" -c . | $docker -H "unix://$dir/sock" import "${change[@]}" - "$name" >/dev/null
  rm -rf "$root"
}

make_bases() {
  local name root
  name=$(default BASE_IMAGE)
  say "making $name"
  root=$dir/base
  # What the image of that name is made of.
  unpack "$root" base-files netbase media-types tzdata libc6 libssl3 libgcc-s1 gcc-12-base libgomp1 libstdc++6 ca-certificates
  printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
  printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
  mkdir -p "$root/home/nonroot"
  chown 65532:65532 "$root/home/nonroot"
  import "$root" "$name" "USER 65532" "WORKDIR /home/nonroot" \
    "ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt" "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

  name=$(default GO_IMAGE)
  say "making $name from $(go env GOROOT)"
  root=$dir/go
  unpack "$root" busybox-static ca-certificates
  local applet
  for applet in sh cp mkdir mv rm ls cat test chmod chown; do ln -s busybox "$root/bin/$applet"; done
  mkdir -p "$root/usr/local" "$root/go"
  cp -a "$(go env GOROOT)" "$root/usr/local/go"
  rm -rf "$root"/usr/local/go/{test,doc,api}
  import "$root" "$name" "WORKDIR /go" "ENV GOPATH=/go GOTOOLCHAIN=local" "ENV PATH=/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin"
}

case "${1:-} ${2:-}" in
"up "?*)
  dir=$2
  if [ -S "$dir/sock" ] && $docker -H "unix://$dir/sock" version >/dev/null 2>&1; then
    echo "export DOCKER=$docker DOCKER_HOST=unix://$dir/sock"
    exit
  fi
  if [ -x "$(command -v docker)" ] && docker info >/dev/null 2>&1; then
    say "using the engine that is here"
    echo "export DOCKER=docker"
    exit
  fi
  [ "$(uname -s)" = Linux ] || none "none is running"
  [ "$(id -u)" = 0 ] || none "none is running, and only root can start one"
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  install_engine
  start_engine
  make_bases || {
    stop_engine
    exit 1
  }
  echo "export DOCKER=$docker DOCKER_HOST=unix://$dir/sock"
  ;;
"down "?*)
  dir=$(cd "$2" && pwd)
  stop_engine
  ;;
*)
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
  ;;
esac
