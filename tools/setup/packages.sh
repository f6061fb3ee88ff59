#!/bin/sh
# Installs what a command needs from the distribution, on Debian and Ubuntu: `packages.sh cmd=package ...`
# A package is installed only if its command is missing. `cmd` may also be a path with a `*`.
# Without root, sudo or apt-get nothing is installed: the script says what is missing and what will not
# run for it, and succeeds, as each target checks for what it cannot do without.
set -eu

missing=""
for pair in "$@"; do
    command=${pair%%=*}
    package=${pair#*=}
    case $command in
    */*) # shellcheck disable=SC2086  # the pattern is meant to expand
        ls $command >/dev/null 2>&1 || missing="$missing $package" ;;
    *) command -v "$command" >/dev/null 2>&1 || missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

run=""
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then run="sudo -n"; else run="no"; fi
fi
if [ "$run" = no ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "note: not installed here:$missing (no root, sudo or apt-get)." >&2
    echo "      Install them to run everything, e.g.: sudo apt-get install$missing" >&2
    exit 0
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# An index that is old or absent is the usual reason for a failure, so try again with a fresh one.
# shellcheck disable=SC2086
$run apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 ||
    { $run apt-get update -qq && $run apt-get install -y -qq --no-install-recommends $missing >/dev/null; } ||
    echo "note: apt-get could not install$missing; what needs them is skipped or fails below." >&2
