#!/bin/sh
# Makes the virtual environment DIR with the packages that REQUIREMENTS pins: `venv.sh DIR REQUIREMENTS`
# Debian's python3 comes without venv (package python3-venv): it is installed where that is possible,
# else virtualenv from PyPI takes its place.
set -eu
export PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1

dir=$1
requirements=$2
python=${PYTHON:-python3}

command -v "$python" >/dev/null 2>&1 || { echo "error: $python was not found; install Python 3.11 or newer, or set PYTHON=" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "error: $("$python" --version) is too old for the pinned packages; install Python 3.11 or newer, or set PYTHON=" >&2
    exit 1
}
if [ -x "$dir/bin/python" ] && cmp -s "$requirements" "$dir/requirements.txt"; then exit 0; fi

rm -rf "$dir"
mkdir -p "$(dirname "$dir")"
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$(dirname "$0")/packages.sh" "no-such-command-python-venv=python$version-venv"
fi
if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    "$python" -m venv "$dir"
elif "$python" -m virtualenv --version >/dev/null 2>&1; then
    "$python" -m virtualenv -q "$dir"
elif "$python" -m pip --version >/dev/null 2>&1; then
    "$python" -m pip install -q --target "$dir.virtualenv" virtualenv
    PYTHONPATH="$dir.virtualenv" "$python" -m virtualenv -q "$dir"
    rm -rf "$dir.virtualenv"
else
    echo "error: $python can make no virtual environment: install python3-venv (apt-get install python3-venv)" >&2
    exit 1
fi
echo "installing the packages of $requirements into $dir"
"$dir/bin/python" -m pip install -q -r "$requirements"
cp "$requirements" "$dir/requirements.txt" # last: marks the environment as complete
