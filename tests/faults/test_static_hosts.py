"""A program with HDF5 linked into it: reads always, writes in full when it exports HDF5's functions.

Without -rdynamic the plugin cannot call HDF5 back for the dataset's type and chunk shape. It then stores losslessly,
and never fails for that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ARCHIVES = [
    "/usr/lib/x86_64-linux-gnu/hdf5/serial/libhdf5.a",
    "/usr/lib/aarch64-linux-gnu/hdf5/serial/libhdf5.a",
]

READ = """
import sys, h5py, numpy
with h5py.File(sys.argv[1], "r") as f:
    numpy.save(sys.argv[2], numpy.stack([f["u"][...], f["v"][...]], axis=1))
    print(f["u"].id.get_storage_size() + f["v"].id.get_storage_size())
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Links the C simulation with a static HDF5 and the given flags."""
    archive = next((a for a in ARCHIVES if os.path.exists(a)), None)
    if archive is None or shutil.which("cc") is None or shutil.which("pkg-config") is None:
        pytest.skip("cc and a static HDF5 (libhdf5-dev) are not installed")
    out = tmp_path_factory.mktemp("static")

    def link(*flags):
        program = out / "-".join(["gray_scott", *flags])
        cflags = subprocess.run(["pkg-config", "--cflags", "hdf5-serial"], capture_output=True, text=True, check=True)
        subprocess.run(
            ["cc", "-std=c99", "-O2", "-ffp-contract=off", f"-I{ROOT}/h5-plugin/include", *cflags.stdout.split(),
             ROOT / "examples" / "c" / "gray_scott.c", "-o", program, archive,
             "-lcrypto", "-lcurl", "-lsz", "-lz", "-lm", "-ldl", "-lpthread", *flags],
            check=True,
        )
        linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        assert "libhdf5" not in linked
        return program

    return link


def simulate(program, path, *options, env):
    subprocess.run([program, path, "--raw", path.with_suffix(".raw"), *options], env=env, check=True, stdout=subprocess.PIPE)


def compare(run_python, env, path):
    """Largest error against what the simulation computed, and the bytes stored."""
    done = run_python(READ, path, path.with_suffix(".npy"), env=env)
    stored = np.load(path.with_suffix(".npy"))
    computed = np.fromfile(path.with_suffix(".raw"), "f4").reshape(stored.shape)
    return np.abs(stored.astype("f8") - computed).max(), int(done.stdout)


def test_without_exported_functions_it_writes_lossless_and_reads(build, run_python, plugin_env, tmp_path):
    program, path = build(), tmp_path / "run.h5"
    simulate(program, path, "--steps", "20", "--bound", "1e-2", "--reopen", env=plugin_env)
    error, stored = compare(run_python, plugin_env, path)
    assert error == 0
    assert stored < path.with_suffix(".raw").stat().st_size
    simulate(program, path, "--steps", "5", "--restart", env=plugin_env)  # it reads its own file
    assert compare(run_python, plugin_env, path)[0] == 0


def test_without_exported_functions_it_reads_lossy_files_and_adds_to_them(build, run_python, plugin_env, tmp_path):
    """In a dataset that another program created, all that the filter must know stands in the file."""
    program, path = build(), tmp_path / "run.h5"
    simulate(build("-rdynamic"), path, "--steps", "20", "--bound", "1e-2", env=plugin_env)
    simulate(program, path, "--steps", "12", "--restart", "--reopen", env=plugin_env)
    assert compare(run_python, plugin_env, path)[0] <= 1e-2


def test_with_exported_functions_it_writes_as_any_other_program(build, run_python, plugin_env, tmp_path):
    path = tmp_path / "run.h5"
    simulate(build("-rdynamic"), path, "--steps", "32", "--bound", "1e-2", env=plugin_env)
    assert compare(run_python, plugin_env, path)[0] <= 1e-2
    done = run_python(
        """
        import sys, h5py
        with h5py.File(sys.argv[1], "r") as f:
            words = f["u"].id.get_create_plist().get_filter(0)[2]
            print(len(words), words[0] >> 16 & 1, *words[12:15])
        """,
        path, env=plugin_env,
    )
    assert done.stdout.split() == ["16", "1", "16", "64", "64"]  # set_local has filled in the chunk's shape
