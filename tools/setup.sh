#!/bin/sh
# Installs the system tools that hwcomp's engines and tests use (Debian and its relatives).
# Does nothing, quickly, when all of them are there. Needs root only to install.
#
#   tools/setup.sh           install what is missing
#   tools/setup.sh --check   only say what is missing; exit 1 if anything is
set -eu

missing=""
need() { # need PACKAGE COMMAND
    command -v "$2" >/dev/null 2>&1 || missing="$missing $1"
}

need g++                g++
need make               make
need perl               perl
need cmake              cmake
need iverilog           iverilog
need yosys              yosys
need valgrind           valgrind
need qemu-system-arm    qemu-system-arm
need gcc-arm-none-eabi  arm-none-eabi-gcc

# The bare-metal C library has no command of its own: ask the compiler where its specs file is.
if command -v arm-none-eabi-gcc >/dev/null 2>&1; then
    specs=$(arm-none-eabi-gcc -print-file-name=nano.specs)
    [ "$specs" != nano.specs ] || missing="$missing libnewlib-arm-none-eabi"
else
    missing="$missing libnewlib-arm-none-eabi"
fi

[ -n "$missing" ] || exit 0

if [ "${1:-}" = --check ]; then
    echo "missing:$missing"
    exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "setup: these tools are missing and there is no apt-get to install them:$missing" >&2
    echo "setup: install them by hand, or run make with SYSTEM=no to go on without them" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "setup: these packages are missing:$missing" >&2
    echo "setup: run 'sudo tools/setup.sh' once, or run make with SYSTEM=no to go on without them" >&2
    exit 1
fi

echo "setup: installing$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086  # a list of package names
if ! { apt-get -q update && apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "setup: apt-get failed (its last lines are above)" >&2
    exit 1
fi
