"""What the tests of Debian's HDF5 and netCDF share: test data, the filter's words, programs to run.

Not a test module. Data go in and out through h5py in a process of its own, so that no plugin and no libhdf5 is
loaded into the process that runs pytest.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

FILTER_ID = 49493
ROOT = Path(__file__).resolve().parent.parent.parent


def need(*programs: str) -> None:
    """Skips the test where one of the programs is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def words(bound: float, preset: int = 0) -> list[int]:
    """cd_values for an absolute bound (0: lossless), as docs/filter.md lays them out."""
    low, high = struct.unpack("<2I", struct.pack("<d", bound))
    return [1 | preset << 8, 1 if bound else 0, low, high]


def listed(bound: float, separator: str = ",") -> str:
    """The words of `bound` as command lines want them."""
    return separator.join(map(str, words(bound)))


def user_defined(bound: float, mandatory: bool = False) -> str:
    """h5repack's name of the filter: UD=id,flag,number of values,values."""
    return f"UD={FILTER_ID},{0 if mandatory else 1},{len(words(bound))},{listed(bound)}"


def waves(steps: int = 40, ny: int = 48, nx: int = 64, dtype: str = "f4") -> np.ndarray:
    """A smooth field that changes over time, values within 2 of zero: (time, y, x)."""
    t, y, x = np.ogrid[0:steps, 0:ny, 0:nx]
    field = np.sin(0.11 * x + 0.07 * t) * np.cos(0.09 * y - 0.05 * t) + 0.5 * np.sin(0.02 * x * y / (1 + 0.02 * t))
    return field.astype(dtype)


def run(*command, env, check: bool = True, **options) -> subprocess.CompletedProcess:
    """Runs a program; with `check`, a non-zero exit fails the test and shows what it wrote."""
    done = subprocess.run([str(c) for c in command], env=env, capture_output=True, text=True, timeout=300, **options)
    if check and done.returncode != 0:
        pytest.fail(
            f"{' '.join(map(str, command))}\nended with {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}",
            pytrace=False,
        )
    return done


class Files:
    """Writes and reads HDF5 files with h5py's wheel, each time in a new process."""

    def __init__(self, run_python, env, directory: Path):
        self.run_python, self.env, self.directory = run_python, env, directory

    def write(self, path: Path, array: np.ndarray, name: str = "u", keywords: str = "") -> Path:
        """Adds the dataset `name` with the array; `keywords` are create_dataset's, as Python source."""
        np.save(self.directory / "in.npy", array)
        self.run_python(
            f"""
            import sys, h5py, numpy
            with h5py.File(sys.argv[1], "a") as f:
                f.create_dataset(sys.argv[2], data=numpy.load(sys.argv[3]){", " + keywords if keywords else ""})
            """,
            path, name, self.directory / "in.npy", env=self.env,
        )
        return path

    def write_augur(self, path: Path, array: np.ndarray, bound: float, chunk, name: str = "u") -> Path:
        """As write, in chunks compressed by Augur with an absolute bound."""
        opts = tuple(words(bound))
        return self.write(path, array, name, f"chunks={tuple(chunk)}, compression={FILTER_ID}, compression_opts={opts}")

    def read(self, path: Path, name: str = "u") -> np.ndarray:
        """The dataset's values."""
        self.run_python(
            """
            import sys, h5py, numpy
            with h5py.File(sys.argv[1], "r") as f:
                numpy.save(sys.argv[3], f[sys.argv[2]][...])
            """,
            path, name, self.directory / "out.npy", env=self.env,
        )
        return np.load(self.directory / "out.npy")

    def stored(self, path: Path, name: str = "u") -> int:
        """Bytes that the dataset's chunks take in the file."""
        done = self.run_python(
            """
            import sys, h5py
            with h5py.File(sys.argv[1], "r") as f:
                print(f[sys.argv[2]].id.get_storage_size())
            """,
            path, name, env=self.env,
        )
        return int(done.stdout)

    def stored_in_full_chunks(self, path: Path, name: str = "u") -> int:
        """Bytes of the chunks that hold no unwritten step: those that end within the dataset."""
        done = self.run_python(
            """
            import sys, h5py
            with h5py.File(sys.argv[1], "r") as f:
                d = f[sys.argv[2]]
                chunks = [d.id.get_chunk_info(i) for i in range(d.id.get_num_chunks())]
                print(sum(c.size for c in chunks if c.chunk_offset[0] + d.chunks[0] <= d.shape[0]))
            """,
            path, name, env=self.env,
        )
        return int(done.stdout)

    def filters(self, path: Path, name: str = "u") -> list[int]:
        """Ids of the dataset's filters, and 0 for each chunk from which a filter was left out."""
        done = self.run_python(
            """
            import sys, h5py
            with h5py.File(sys.argv[1], "r") as f:
                d = f[sys.argv[2]]
                p = d.id.get_create_plist()
                print(*[p.get_filter(i)[0] for i in range(p.get_nfilters())])
                print(*[0 for i in range(d.id.get_num_chunks() if d.chunks else 0) if d.id.get_chunk_info(i).filter_mask])
            """,
            path, name, env=self.env,
        )
        return [int(i) for i in done.stdout.split()]


@pytest.fixture
def files(run_python, plugin_env, tmp_path) -> Files:
    """HDF5 files through h5py, with the plugin found through HDF5_PLUGIN_PATH alone."""
    return Files(run_python, plugin_env, tmp_path)


def largest_error(stored: np.ndarray, written: np.ndarray) -> float:
    """max |stored - written| in double precision."""
    assert stored.shape == written.shape and stored.dtype == written.dtype
    return float(np.max(np.abs(stored.astype("f8") - written.astype("f8"))))
