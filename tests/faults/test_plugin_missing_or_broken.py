"""Without the plugin, or with a broken one, programs get an error that can be understood, and lose no data."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

WRITE = """
import sys, h5py
from augur_testing import FILTER_ID, field, words
with h5py.File(sys.argv[1], "w") as f:
    f.create_dataset("u", data=field((16, 12, 10)), maxshape=(None, 12, 10), chunks=(8, 12, 10), compression=FILTER_ID,
                     compression_opts=words("absolute", 1e-2))
"""

READ = """
import sys, h5py
try:
    h5py.File(sys.argv[1], "r")["u"][...]
except OSError as error:
    print(error)
else:
    sys.exit("numbers were read")
"""


@pytest.fixture
def compressed(run_python, plugin_env, tmp_path):
    """A file with one compressed dataset."""
    run_python(WRITE, tmp_path / "source.h5", env=plugin_env)
    return tmp_path / "source.h5"


def broken_plugin(kind, directory, plugin_dir):
    """Puts a file that is no working plugin in its place."""
    target = directory / "libh5z_augur.so"
    if kind == "absent":
        return
    if kind == "empty":
        target.write_bytes(b"")
    elif kind == "cut off":
        # Cut within the ELF header. (One cut later ends the process in the dynamic loader, whatever the library.)
        target.write_bytes((plugin_dir / target.name).read_bytes()[:40])
    elif kind == "text":
        target.write_text("Not Found\n" * 100)
    elif kind == "other machine":
        whole = bytearray((plugin_dir / target.name).read_bytes())
        whole[18] ^= 0xFF  # e_machine
        target.write_bytes(whole)
    elif kind in ("without the entry points", "without a symbol"):
        if shutil.which("cc") is None:
            pytest.skip("cc is not installed")
        source = directory / "other.c"
        source.write_text(
            "int something_else;"
            if kind == "without the entry points"
            else "extern int no_such_symbol; int *H5PLget_plugin_info(void) { return &no_such_symbol; }"
        )
        subprocess.run(["cc", "-shared", "-fPIC", source, "-o", target], check=True)


KINDS = ["absent", "empty", "cut off", "text", "other machine", "without the entry points", "without a symbol"]


@pytest.mark.parametrize("kind", KINDS)
def test_reading_says_that_the_plugin_is_the_problem(run_python, clean_env, plugin_dir, compressed, tmp_path, kind):
    folder = tmp_path / "plugins"
    folder.mkdir()
    broken_plugin(kind, folder, plugin_dir)
    env = {**clean_env, "HDF5_PLUGIN_PATH": str(folder)}
    message = run_python(READ, compressed, env=env).stdout
    assert "plugin" in message or "dlopen" in message or "not registered" in message, message
    done = run_python(
        """
        import sys, netCDF4
        try:
            netCDF4.Dataset(sys.argv[1])["u"][:]
        except (RuntimeError, OSError) as error:
            print(error)
        else:
            sys.exit("numbers were read")
        """,
        compressed, env=env,
    )
    assert "filter" in done.stdout.lower(), done.stdout


def test_a_good_plugin_is_found_beside_a_broken_one(run_python, clean_env, plugin_dir, compressed, tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "libaaa.so").write_text("no library")
    env = {**clean_env, "HDF5_PLUGIN_PATH": f"{folder}:{plugin_dir}"}
    run_python("import sys, h5py; h5py.File(sys.argv[1])['u'][...]", compressed, env=env)


def test_creating_without_the_plugin_is_refused(run_python, clean_env, tmp_path):
    done = run_python(WRITE, tmp_path / "new.h5", env=clean_env, check=False)
    assert done.returncode != 0 and "49493" in done.stderr, done.stderr


def test_steps_appended_without_the_plugin_are_stored_raw_and_readable(run_python, plugin_env, clean_env, compressed):
    """A new chunk, appended by a process that has no plugin: the filter is optional, so HDF5 stores it as it is."""
    append = """
        import sys, h5py
        from augur_testing import field
        with h5py.File(sys.argv[1], "r+") as f:
            f["u"].resize(24, axis=0)
            f["u"][16:] = field((24, 12, 10))[16:]
        """
    run_python(append, compressed, env=clean_env)
    run_python(
        """
        import sys, h5py, numpy
        from augur_testing import assert_bound, field
        with h5py.File(sys.argv[1], "r") as f:
            assert numpy.array_equal(f["u"][16:], field((24, 12, 10))[16:])
            assert_bound(field((16, 12, 10)), f["u"][:16], 1e-2)
        """,
        compressed, env=plugin_env,
    )


def test_adding_to_a_compressed_chunk_without_the_plugin_changes_nothing(run_python, plugin_env, clean_env, compressed, tmp_path):
    """HDF5 would have to decode the chunk first: the write is an error, and what is there stays."""
    before = compressed.read_bytes()
    done = run_python(
        """
        import sys, h5py
        with h5py.File(sys.argv[1], "r+") as f:
            try:
                f["u"][3] = 0
            except OSError as error:
                print("refused:", error)
        """,
        compressed, env=clean_env,
    )
    assert "refused:" in done.stdout
    read = "import sys, h5py, numpy; numpy.save(sys.argv[2], h5py.File(sys.argv[1])['u'][...])"
    run_python(read, compressed, tmp_path / "after.npy", env=plugin_env)
    compressed.write_bytes(before)
    run_python(read, compressed, tmp_path / "before.npy", env=plugin_env)
    np.testing.assert_array_equal(np.load(tmp_path / "after.npy"), np.load(tmp_path / "before.npy"))
