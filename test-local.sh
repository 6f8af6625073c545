#!/usr/bin/env bash
# Builds the image, runs it on http://localhost:9000, calls every function with
# and without a key, and cleans up. The exit code is 0 only if all is well.
#
#   ./test-local.sh [NAME...]     the functions to call; all by default
#
#   PORT=9000                     where it listens
#   ENGINE=docker|podman|none     by default the first that works; none runs the
#                                 binary itself, without a container
#   JWT_SECRET, ANON_KEY, SERVICE_ROLE_KEY   by default made for this run
set -euo pipefail
cd "$(dirname "$0")"

port=${PORT:-9000}
url=http://localhost:$port
image=selvedge-local
name=selvedge-test-local-$$
tmp=$(mktemp -d)
started=
pid=

step() { printf '\n%s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

cleanup() {
  local code=$?
  trap - EXIT INT TERM
  if [ -n "$started" ]; then
    if [ $code -ne 0 ]; then
      printf '\nthe end of its log:\n' >&2
      logs 2>&1 | tail -n 20 >&2
    fi
    "$engine" rm -f "$name" >/dev/null 2>&1 || true
  elif [ -n "$pid" ]; then
    [ $code -eq 0 ] || { printf '\nthe end of its log:\n' >&2 && tail -n 20 "$tmp/log" >&2; }
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  fi
  rm -rf "$tmp"
  exit $code
}
trap cleanup EXIT
trap 'exit 130' INT TERM

logs() { "$engine" logs "$name"; }

case "${1:-}" in
-h | --help)
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0"
  exit
  ;;
esac

command -v curl >/dev/null || die "curl is missing; install it and try again"
if curl -s -o "$tmp/other" -m 2 "$url/health"; then
  die "something answers at $url already; stop it, or choose another port: PORT=9100 ./test-local.sh"
fi

# Which engine?
engine=${ENGINE:-}
if [ -z "$engine" ]; then
  engine=none
  for candidate in docker podman; do
    command -v $candidate >/dev/null || continue
    if $candidate info >/dev/null 2>&1; then
      engine=$candidate
      break
    fi
    echo "$candidate is installed but does not answer (is its service running? may you use it?)"
  done
fi
case $engine in
docker | podman | none) ;;
*) die "ENGINE=$engine: write docker, podman or none" ;;
esac

# Which functions? As the Dockerfile chooses them.
if [ -d functions ]; then functions=functions
elif [ -d supabase/functions ]; then functions=supabase/functions
else functions=examples/functions; fi

if [ "$engine" = none ]; then
  step "No container engine: this tests the binary itself, not the image."
  command -v go >/dev/null || die "neither docker, podman nor go is here; one of them is needed"
  go build -o "$tmp/selvedge" ./cmd/selvedge
  selvedge() { "$tmp/selvedge" "$@"; }
  of_server() { "$tmp/selvedge" "$@" --functions "$functions"; }
else
  step "Building the image of $functions with $engine …"
  began=$SECONDS
  arguments=()
  # Podman did not always know it by itself.
  [ "$engine" = docker ] || arguments+=(--build-arg "BUILDPLATFORM=$("$engine" info --format '{{.Host.OS}}/{{.Host.Arch}}')")
  "$engine" build ${arguments[@]+"${arguments[@]}"} -t $image . >"$tmp/build" 2>&1 || {
    tail -n 40 "$tmp/build" >&2
    die "the image cannot be built; the reason is above"
  }
  echo "built $image in $((SECONDS - began)) s"
  selvedge() { "$engine" run --rm --network none --entrypoint selvedge $image "$@"; }
  of_server() { "$engine" exec "$name" selvedge "$@"; }
fi

if [ -z "${JWT_SECRET:-}" ] || [ -z "${ANON_KEY:-}" ] || [ -z "${SERVICE_ROLE_KEY:-}" ]; then
  step "JWT_SECRET, ANON_KEY and SERVICE_ROLE_KEY are not all set: making keys for this run."
  selvedge keys >"$tmp/keys" 2>"$tmp/said" || {
    cat "$tmp/said" >&2
    die "the program does not run; the reason is above"
  }
  JWT_SECRET=$(sed -n 's/^JWT_SECRET=//p' "$tmp/keys")
  ANON_KEY=$(sed -n 's/^ANON_KEY=//p' "$tmp/keys")
  SERVICE_ROLE_KEY=$(sed -n 's/^SERVICE_ROLE_KEY=//p' "$tmp/keys")
fi
export JWT_SECRET ANON_KEY SERVICE_ROLE_KEY

step "Starting it on $url …"
if [ "$engine" = none ]; then
  PORT=$port SELVEDGE_DRAIN_DELAY=0s "$tmp/selvedge" serve --functions "$functions" >"$tmp/log" 2>&1 &
  pid=$!
  alive() { kill -0 $pid 2>/dev/null; }
else
  # As in production: nothing can be written but /tmp, and no rights are left.
  "$engine" run -d --name "$name" --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
    -p "$port:$port" -e "PORT=$port" -e SELVEDGE_DRAIN_DELAY=0s \
    -e JWT_SECRET -e ANON_KEY -e SERVICE_ROLE_KEY -e REQUIRE_AUTH -e SUPABASE_URL $image >/dev/null
  started=yes
  alive() { [ "$("$engine" inspect -f '{{.State.Running}}' "$name")" = true ]; }
fi
for ((i = 0; ; i++)); do
  curl -sf -o "$tmp/health" -m 2 "$url/health" && break
  alive || die "the server ended by itself"
  [ $i -lt 300 ] || die "the server does not answer $url/health within 30 s"
  sleep 0.1
done
echo "healthy: $(cat "$tmp/health")"

# The names of functions, and whether each asks for a key.
of_server config --json >"$tmp/config" 2>"$tmp/said" || {
  cat "$tmp/said" >&2
  die "the server does not tell its functions; the reason is above"
}
awk -F'"' '/^      "slug":/ { slug = $4 }
           /^      "verify_jwt":/ { print slug, ($3 ~ /true/ ? "yes" : "no") }' "$tmp/config" >"$tmp/functions"
[ -s "$tmp/functions" ] || die "the server has no functions"
for wanted in "$@"; do
  grep -q "^$wanted " "$tmp/functions" || die "there is no function $wanted; there are: $(cut -d' ' -f1 "$tmp/functions" | tr '\n' ' ')"
done

# request NAME sets what the function is called with, and the status that the
# examples answer; functions of a project may answer anything below 500.
request() {
  path=/$1 body='{"name":"Functions"}' want=
  [ $functions = examples/functions ] || return 0
  want=200
  case $1 in
  background-task) body='{"ms":100}' want=202 ;;
  express) path=/express/users/42 body='' ;;
  hono) path=/hono/greet/Ada body='' ;;
  json-body) body='{"item":"tea","quantity":2}' want=201 ;;
  path-params) path=/path-params/users/1 body='' ;;
  sse) path='/sse?count=3&every=100' body='' ;;
  wasm) path='/wasm?a=2&b=3' body='' ;;
  supabase-js | shared-import) body='' ;;
  websocket-echo) body='' want=426 ;;
  esac
}

# call [CURL OPTION...] sets status, code (of the platform's error) and seconds.
call() {
  local options=(-s -m 60 -o "$tmp/answer" -D "$tmp/head" -w '%{http_code} %{time_total}')
  [ -z "$body" ] || options+=(-H 'Content-Type: application/json' --data "$body")
  : >"$tmp/answer"
  : >"$tmp/head"
  local out
  out=$(curl "${options[@]}" "$@" "$url$path") || out="000 0"
  status=${out% *} seconds=${out#* }
  code=$(tr -d '\r' <"$tmp/head" | sed -n 's/^[Ss]b-[Ee]rror-[Cc]ode: //p')
}

failures=0
calls=0
# verdict WHOM OK: prints how a call went.
verdict() {
  calls=$((calls + 1))
  local mark=ok
  [ "$2" = yes ] || { mark=FAIL && failures=$((failures + 1)); }
  printf '%-4s  %-18s %-11s %s  %4.0f ms  %s\n' $mark "$fn" "$1" "$status" \
    "$(awk "BEGIN { print $seconds * 1000 }")" "$(tr -s '[:space:]' ' ' <"$tmp/answer" | head -c 70)"
}

answered() { # is it the function's own, and as expected?
  if [ -n "$want" ]; then [ "$status" = "$want" ]; else
    [ "$status" -ge 100 ] && [ "$status" -lt 500 ] && [ -z "$code" ]
  fi
}

step "Calling the functions:"
while read -r fn protected; do
  [ $# = 0 ] || [[ " $* " = *" $fn "* ]] || continue
  request "$fn"
  ok=no
  call
  if [ "$protected" = yes ] && [ "${REQUIRE_AUTH:-true}" != false ]; then
    [ "$status" = 401 ] && [ "$code" = UNAUTHORIZED_NO_AUTH_HEADER ] && ok=yes
    verdict "without key" $ok
  else
    answered && ok=yes
    verdict "open to all" $ok
  fi
  ok=no
  call -H "Authorization: Bearer $ANON_KEY"
  answered && ok=yes
  verdict "anon key" $ok
done <"$tmp/functions"

step "Stopping it …"
exit_code=0
if [ "$engine" = none ]; then
  kill "$pid"
  wait "$pid" || exit_code=$?
  pid=
else
  "$engine" stop -t 30 "$name" >/dev/null
  exit_code=$("$engine" inspect -f '{{.State.ExitCode}}' "$name")
fi
[ "$exit_code" = 0 ] || die "it ended with exit code $exit_code"
[ $failures = 0 ] || die "$failures of $calls calls did not answer as they should"
echo "all $calls calls answered as they should"
