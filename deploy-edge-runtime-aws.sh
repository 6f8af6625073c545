#!/usr/bin/env bash
# Brings the functions of the current folder to AWS, or up to date there: it is
# `selvedge deploy`, for guides that name this script.
#
#   ./deploy-edge-runtime-aws.sh [FLAGS of selvedge deploy]
#
# It asks before it changes anything; --yes does not, --dry-run shows what would
# change, --help has the rest. parameters.json of the current folder says how it
# is to be: put the project's keys into it, or into .env. docs/aws.md has all
# parameters. The program is the selvedge in PATH, or bin/selvedge beside this
# script, which is built with Go where there is neither.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if command -v selvedge >/dev/null; then
  program=selvedge
else
  program=$here/bin/selvedge
  if [ ! -x "$program" ]; then
    if ! command -v go >/dev/null; then
      echo "error: there is no selvedge: install it into PATH, or install Go 1.26 or newer from https://go.dev/dl" >&2
      exit 1
    fi
    echo "building bin/selvedge" >&2
    (cd "$here" && CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o bin/selvedge ./cmd/selvedge)
  fi
fi
exec "$program" deploy "$@"
