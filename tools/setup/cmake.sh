#!/bin/sh
# Prints the path of a CMake that can configure HDF5 (3.26 or newer): `cmake.sh DIR`
# Debian 12 and Ubuntu 22.04 have older ones; then CMake comes from PyPI into the virtual environment DIR.
set -eu

new_enough() {
    command -v "$1" >/dev/null 2>&1 && "$1" --version | awk '
        NR == 1 { split($3, v, "."); old = v[1] < 3 || (v[1] == 3 && v[2] < 26) } END { exit old || NR == 0 }'
}

if new_enough cmake; then
    command -v cmake
    exit 0
fi
here=$(dirname "$0")
"$here/venv.sh" "$1" "$here/cmake.txt" >&2
cmake=$(cd "$1" && pwd)/bin/cmake
new_enough "$cmake" || { echo "error: CMake 3.26 or newer is needed to compile HDF5, and could not be installed into $1" >&2; exit 1; }
echo "$cmake"
