#!/bin/sh
# Unpacks libtorch into DIR and prints where it is, as LIBTORCH expects it: `torch.sh DIR`
# An own libtorch 2.11.0 (one with CUDA, say, the folder `torch` of a Python installation) is taken where LIBTORCH
# names it; otherwise the wheels of torch.txt are downloaded (540 MB), checked against their SHA-256 and unpacked (500 MB).
set -eu
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

dir=$1
here=$(cd "$(dirname "$0")" && pwd)
pins=$here/torch.txt
version=2.11.0

if [ -n "${LIBTORCH:-}" ]; then
    [ -e "$LIBTORCH/lib/libtorch_cpu.so" ] || { echo "error: LIBTORCH is $LIBTORCH, and there is no lib/libtorch_cpu.so in it" >&2; exit 1; }
    echo "$LIBTORCH"
    exit 0
fi
if [ -e "$dir/torch/lib/libtorch_cpu.so" ] && cmp -s "$pins" "$dir/torch.txt"; then
    (cd "$dir/torch" && pwd)
    exit 0
fi
if [ "$(uname -s)" != Linux ] || [ "$(uname -m)" != x86_64 ]; then
    echo "error: libtorch is only pinned for Linux on x86_64; install PyTorch $version yourself and set LIBTORCH to its folder torch" >&2
    exit 1
fi
python=${PYTHON:-python3}
rm -rf "$dir/torch" "$dir/nvidia" "$dir/wheels"
mkdir -p "$dir/wheels"
if ! "$python" -m pip --version >/dev/null 2>&1; then
    "$here/venv.sh" "$dir/venv" /dev/null >&2
    python=$dir/venv/bin/python
fi
echo "downloading libtorch $version (540 MB)" >&2
"$python" -m pip download -q --no-deps --require-hashes --only-binary=:all: --implementation cp --python-version 3.11 \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    --dest "$dir/wheels" -r "$pins" >&2
"$python" - "$dir" <<'PYTHON' >&2
"""Unpacks from the wheels what torch-sys compiles against and the libraries that it loads."""
import pathlib, re, sys, zipfile

root = pathlib.Path(sys.argv[1])
wanted = re.compile(
    r"torch/include/.*|torch/lib/(libtorch_cpu|libc10)\.so|torch/lib/libgomp\.so\.1"
    r"|torch-[^/]*\.dist-info/licenses/.*|nvidia/cu13/lib/lib(cudart|cupti)\.so\.13"
)
for wheel in sorted((root / "wheels").glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(root, [name for name in archive.namelist() if wanted.fullmatch(name)])
    wheel.unlink()  # half a gigabyte that nothing needs any more
# The wheel's libtorch.so asks for the CUDA libraries, a linker script does not.
(root / "torch/lib/libtorch.so").write_text("INPUT(-ltorch_cpu -lc10)\n")
PYTHON
rmdir "$dir/wheels"
echo "$version" >"$dir/torch/build-version"
cp "$pins" "$dir/torch.txt" # last: marks the folder as complete
(cd "$dir/torch" && pwd)
