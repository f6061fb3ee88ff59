"""A disk that fills up, and a writer that is killed, leave what was flushed before readable.

What HDF5 itself does there, with every compression filter alike, and what follows from it:

- When a flush or a close fails for want of space, HDF5 may have recorded the length that the file should have got, and
  then refuses to open it as truncated. `h5clear --increment=0 FILE` (HDF5's own tool) cures that; no data are lost.
- A chunk that was flushed while it was partly filled, did not stay in the chunk cache, and was being written again when the
  program ended may be lost (an error when it is read). The cures are a chunk cache that holds the chunk, or SWMR mode,
  in which HDF5 never writes over what is in use.

Full chunks are never at risk. Nothing ever reads as wrong numbers.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

STEPS_PER_CHUNK = 4

# Appends noise step by step, flushing after each, until `steps` are flushed or a write fails; then writes `more` steps
# without a flush, and ends as `how` says. Prints the number of flushed steps.
WRITER = """
import os, resource, signal, sys
import h5py, numpy
from augur_testing import FILTER_ID, words

path, mode, cache, steps, more, limit, how = sys.argv[1:]
if int(limit):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
swmr = mode == "swmr"
rng = numpy.random.default_rng(1)
f = h5py.File(path, "w", rdcc_nbytes=int(cache), libver="latest" if swmr else None)
d = f.create_dataset("u", shape=(0, 32, 32), maxshape=(None, 32, 32), chunks=(4, 32, 32), dtype="f4",
                     compression=FILTER_ID, compression_opts=words("absolute", 1e-2))
f.flush()
if swmr:
    f.swmr_mode = True
flushed = 0
try:
    for step in range(int(steps) + int(more)):
        d.resize(step + 1, axis=0)
        d[step] = rng.standard_normal((32, 32))
        if step < int(steps):
            f.flush()
            flushed = step + 1
except (OSError, RuntimeError) as error:
    print("write failed:", str(error)[:120].replace(chr(10), " "))
print(flushed, flush=True)
if how == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
f.close()
"""

# Prints, for each step in the file, whether it is within the bound, an error, the fill value, or wrong.
READER = """
import json, sys
import h5py, numpy
rng = numpy.random.default_rng(1)
keywords = dict(swmr=True, libver="latest") if sys.argv[2] == "swmr" else {}
outcome = []
with h5py.File(sys.argv[1], "r", **keywords) as f:
    for step in range(len(f["u"])):
        true = rng.standard_normal((32, 32)).astype("f4")
        try:
            values = f["u"][step]
        except OSError:
            outcome.append("error")
        else:
            good = abs(values.astype("f8") - true).max() <= 1e-2
            outcome.append("good" if good else "unwritten" if abs(values).max() <= 1e-2 else "wrong")
print(json.dumps(outcome))
"""


def write(run_python, env, path, mode="plain", cache=1 << 20, steps=200, more=0, limit=0, how="kill"):
    """Runs the writer to its end; returns the number of flushed steps and whether a write failed."""
    done = run_python(WRITER, path, mode, cache, steps, more, limit, how, env=env, check=False)
    lines = done.stdout.splitlines()
    assert lines and lines[-1].isdigit(), done.stderr
    if how == "kill":
        assert done.returncode == -signal.SIGKILL
    return int(lines[-1]), lines[0].startswith("write failed")


def read(run_python, env, path, mode="plain"):
    """What became of each step; a file that HDF5 calls truncated is repaired with h5clear first."""
    done = run_python(READER, path, mode, env=env, check=False)
    if done.returncode != 0:
        assert "truncated file" in done.stderr, done.stderr
        if shutil.which("h5clear") is None:
            pytest.skip("h5clear is not installed")
        subprocess.run(["h5clear", "--increment=0", path], check=True, env=env)
        done = run_python(READER, path, mode, env=env)
    return json.loads(done.stdout)


def full_chunks(steps):
    return steps - steps % STEPS_PER_CHUNK


@pytest.mark.parametrize("more", [0, 1, 6])
@pytest.mark.parametrize("mode, cache", [("plain", 1 << 20), ("swmr", 1 << 20), ("swmr", 0)])
def test_a_killed_writer_leaves_every_flushed_step(run_python, plugin_env, tmp_path, mode, cache, more):
    flushed, _ = write(run_python, plugin_env, tmp_path / "u.h5", mode, cache, steps=10, more=more)
    outcome = read(run_python, plugin_env, tmp_path / "u.h5", mode)
    assert flushed == 10 and outcome[:10] == ["good"] * 10, outcome
    assert "wrong" not in outcome


@pytest.mark.parametrize("more", [0, 1, 6])
def test_a_killed_writer_without_chunk_cache_leaves_every_full_chunk(run_python, plugin_env, tmp_path, more):
    flushed, _ = write(run_python, plugin_env, tmp_path / "u.h5", cache=0, steps=10, more=more)
    outcome = read(run_python, plugin_env, tmp_path / "u.h5")
    whole = 10 if more == 0 else full_chunks(flushed)
    assert outcome[:whole] == ["good"] * whole, outcome
    assert "wrong" not in outcome


@pytest.mark.parametrize("how", ["kill", "close"])
@pytest.mark.parametrize("limit", [60_000, 101_000, 150_001])
@pytest.mark.parametrize("mode, cache", [("plain", 1 << 20), ("plain", 0), ("swmr", 1 << 20)])
def test_a_full_disk_leaves_what_was_flushed(run_python, plugin_env, tmp_path, mode, cache, limit, how):
    """The file may not grow beyond `limit` bytes. (Closing after that can crash HDF5 2.0, without any filter, too.)"""
    flushed, failed = write(run_python, plugin_env, tmp_path / "u.h5", mode, cache, limit=limit, how=how)
    assert failed and flushed > 4, flushed
    outcome = read(run_python, plugin_env, tmp_path / "u.h5", mode)
    certain = flushed if mode == "swmr" else full_chunks(flushed)
    assert outcome[:certain] == ["good"] * certain, outcome
    assert "wrong" not in outcome


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "augur-test", disk]).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_file_system_leaves_what_was_flushed(run_python, plugin_env, small_disk, tmp_path):
    flushed, failed = write(run_python, plugin_env, small_disk / "u.h5", cache=0, steps=2000)
    assert failed and flushed > 100
    copy = Path(shutil.copy(small_disk / "u.h5", tmp_path / "u.h5"))
    outcome = read(run_python, plugin_env, copy)
    assert outcome[: full_chunks(flushed)] == ["good"] * full_chunks(flushed)
    assert "wrong" not in outcome
