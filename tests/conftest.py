"""Fixtures shared by the tests that drive real programs.

The tests run against the plugin that `make build` put into dist/plugins (or the directory that
AUGUR_PLUGIN_DIR names) and against the package h5augur that is installed in the Python that runs
pytest. Every program under test is a child process, so that a crash costs one test only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PLUGIN_NAMES = ("libh5z_augur.so", "libh5z_augur.dylib", "h5z_augur.dll")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return ROOT


@pytest.fixture(scope="session")
def plugin_dir() -> Path:
    """Directory with the plugin as a user would put it on HDF5_PLUGIN_PATH."""
    directory = Path(os.environ.get("AUGUR_PLUGIN_DIR", ROOT / "dist" / "plugins")).resolve()
    if not any((directory / name).is_file() for name in PLUGIN_NAMES):
        pytest.fail(f"no Augur plugin in {directory}: run `make build`, or set AUGUR_PLUGIN_DIR", pytrace=False)
    return directory


@pytest.fixture(scope="session")
def venv_python() -> Path:
    """The Python interpreter with h5py, netCDF4, xarray and h5augur: the one that runs pytest."""
    return Path(sys.executable)


@pytest.fixture
def tmp_h5(tmp_path: Path) -> Path:
    """Path of an HDF5 file that does not exist yet, in a directory of its own."""
    return tmp_path / "data.h5"


@pytest.fixture(scope="session")
def clean_env() -> dict[str, str]:
    """This process's environment without anything that tells HDF5 or Augur where to look.

    Python programs find the module augur_testing in it.
    """
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HDF5_PLUGIN", "AUGUR_"))}
    return {**env, "PYTHONPATH": str(ROOT / "tests")}


@pytest.fixture(scope="session")
def plugin_env(clean_env: dict[str, str], plugin_dir: Path) -> dict[str, str]:
    """`clean_env` with HDF5_PLUGIN_PATH naming the plugin's directory, and nothing else."""
    return {**clean_env, "HDF5_PLUGIN_PATH": str(plugin_dir)}


@pytest.fixture(scope="session")
def run_python(venv_python: Path, clean_env: dict[str, str]):
    """Runs a Python program in a process of its own and returns the completed process.

    run_python(code, *arguments, env=None, cwd=None, check=True): `code` is dedented; `env` defaults
    to `clean_env`; with `check`, a non-zero exit fails the test and shows what the program wrote.
    """

    def run(code: str, *arguments, env=None, cwd=None, check: bool = True, timeout: float = 300):
        done = subprocess.run(
            [str(venv_python), "-c", textwrap.dedent(code), *map(str, arguments)],
            env=clean_env if env is None else env,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            pytest.fail(
                f"the program ended with {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}",
                pytrace=False,
            )
        return done

    return run
