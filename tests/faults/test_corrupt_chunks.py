"""A damaged chunk gives an error that says so; the other chunks stay readable; never wrong numbers."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest

WRITE = """
import sys, h5py
from augur_testing import FILTER_ID, field, words
with h5py.File(sys.argv[1], "w") as f:
    for name, mode, bound in [("lossy", "absolute", 1e-2), ("lossless", "lossless", 0.0)]:
        f.create_dataset(name, data=field((32, 12, 10)), chunks=(16, 12, 10), compression=FILTER_ID,
                         compression_opts=words(mode, bound))
"""

# Damages the first chunk of a dataset in every way of the list, one after the other, and reads all chunks each time.
DAMAGE = """
import json, os, random, shutil, sys
import h5py, numpy

source, name, ways = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
with h5py.File(source, "r") as f:
    true = f[name][...]
    info = f[name].id.get_chunk_info(0)
    start, size = info.byte_offset, info.size
whole = open(source, "rb").read()
outcomes = {"error": 0, "same": 0, "wrong": []}
messages = set()
for way in ways:
    chunk = bytearray(whole[start:start + size])
    kind, *rest = way
    if kind == "bit":
        place = int(rest[0] * (size - 1))
        chunk[place] ^= 1 << rest[1]
    elif kind == "zero":
        chunk[int(rest[0] * size):] = bytes(size - int(rest[0] * size))
    elif kind == "noise":
        random.seed(rest[1])
        at = int(rest[0] * size)
        chunk[at:at + 32] = random.randbytes(len(chunk[at:at + 32]))
    elif kind == "shift":
        chunk = chunk[1:] + chunk[:1]
    with open("damaged.h5", "wb") as out:
        out.write(whole[:start] + bytes(chunk) + whole[start + size:])
    with h5py.File("damaged.h5", "r") as f:
        d = f[name]
        assert numpy.array_equal(d[16:], true[16:]), "another chunk changed"
        try:
            values = d[:16]
        except OSError as error:
            outcomes["error"] += 1
            messages.add(str(error))
        else:
            outcomes["same" if numpy.array_equal(values, true[:16]) else "wrong"] += (
                1 if numpy.array_equal(values, true[:16]) else [way])
print(json.dumps([outcomes, sorted(messages), size]))
"""


@pytest.fixture
def compressed(run_python, plugin_env, tmp_path):
    """A file with a lossy and a lossless dataset of two chunks each."""
    run_python(WRITE, tmp_path / "source.h5", env=plugin_env)
    return tmp_path / "source.h5"


@pytest.mark.parametrize("name", ["lossy", "lossless"])
def test_every_damage_is_an_error_and_other_chunks_stay_readable(run_python, plugin_env, compressed, tmp_path, name):
    ways = [["bit", place / 250, place % 8] for place in range(251)]
    ways += [["bit", place / 100_000, bit] for place in range(0, 2000, 50) for bit in (0, 7)]  # the header
    ways += [["zero", part / 10] for part in range(10)]
    ways += [["noise", part / 20, part] for part in range(20)]
    ways += [["shift"]]
    done = run_python(DAMAGE, compressed, name, json.dumps(ways), env=plugin_env, cwd=tmp_path)
    outcomes, messages, _ = json.loads(done.stdout)
    assert outcomes["wrong"] == []
    assert outcomes["error"] == len(ways), f"{outcomes['same']} damages were not noticed"
    assert messages and all("read" in m for m in messages), messages
    assert "augur" in done.stderr.lower(), "nothing on stderr says which filter failed, and why"


def test_h5dump_and_netcdf_end_with_an_error(run_python, plugin_env, compressed, tmp_path):
    done = run_python(
        """
        import sys, h5py
        with h5py.File(sys.argv[1], "r") as f:
            info = f["lossy"].id.get_chunk_info(0)
            print(info.byte_offset + info.size // 2)
        """,
        compressed, env=plugin_env,
    )
    with open(compressed, "r+b") as f:
        f.seek(int(done.stdout))
        byte = f.read(1)
        f.seek(int(done.stdout))
        f.write(bytes([byte[0] ^ 0x10]))
    if shutil.which("h5dump"):
        dump = subprocess.run(["h5dump", "-d", "/lossy", compressed], env=plugin_env, capture_output=True, text=True)
        assert dump.returncode != 0
        assert "augur" in dump.stderr.lower(), dump.stderr
    run_python(
        """
        import sys, netCDF4
        with netCDF4.Dataset(sys.argv[1]) as f:
            f["lossless"][:]
            try:
                f["lossy"][:]
            except (RuntimeError, OSError) as error:
                print(error)
            else:
                sys.exit("netCDF4 read numbers from a damaged chunk")
        """,
        compressed, env=plugin_env,
    )


def test_a_chunk_of_another_shape_is_refused(run_python, plugin_env, tmp_path):
    """A valid stream in the wrong place, written with the direct chunk write, is no valid chunk there."""
    done = run_python(
        """
        import sys, h5py, numpy
        from augur_testing import FILTER_ID, field, words
        kw = dict(compression=FILTER_ID, compression_opts=words("absolute", 1e-2))
        with h5py.File(sys.argv[1], "w") as f:
            f.create_dataset("small", data=field((16, 12, 10)), chunks=(16, 12, 10), **kw)
            f.create_dataset("large", data=field((16, 24, 10)), chunks=(16, 24, 10), **kw)
            f.create_dataset("double", data=field((16, 12, 10), "f8"), chunks=(16, 12, 10), **kw)
        with h5py.File(sys.argv[1], "r+") as f:
            stream = f["small"].id.read_direct_chunk((0, 0, 0))[1]
            for name in ("large", "double"):
                f[name].id.write_direct_chunk((0, 0, 0), stream)
        with h5py.File(sys.argv[1], "r") as f:
            f["small"][...]
            for name in ("large", "double"):
                try:
                    f[name][...]
                except OSError as error:
                    print("refused:", error)
        """,
        tmp_path / "swapped.h5", env=plugin_env,
    )
    assert done.stdout.count("refused:") == 2, done.stdout
