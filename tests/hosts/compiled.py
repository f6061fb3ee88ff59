"""What the tests of compiled programs in C and Fortran share: options and the words that they stand for, files with a model.

Not a test module.
"""

from __future__ import annotations

import models
import pytest
from augur_testing import words
from debian import ROOT

INCLUDE = ROOT / "h5-plugin" / "include"


WINDOWS = [
    # A window or 0, a threshold or 0, the warm-up, open loop, and what bits 24 to 31 of word 1 are to be.
    (0, 0.0, 0, 0, 0),
    (0, 0.0, 1, 1, 0),
    (2, 0.0, 0, 0, 2),
    (127, 0.0, 7, 0, 127),
    (0, 1.0, 0, 0, 128),
    (0, 0.92, 0, 0, 128),  # 2^(-1/8) = 0.917 lies between
    (0, 0.91, 3, 1, 129),
    (0, 0.78, 0, 0, 129),
    (0, 0.77, 0, 0, 130),
    (0, 0.65, 0, 0, 130),
    (0, 0.64, 0, 0, 131),
    (0, 0.55, 0, 0, 131),
    (0, 0.54, 0, 0, 132),
    (0, 0.5, 0, 0, 132),
    (0, 0.02, 0, 1, 151),
    (0, 1e-6, 2, 0, 208),
    (0, 2.0**-31, 0, 0, 252),
    (0, 1.05 * 2.0**-31, 0, 0, 252),
]


def padded(options, count=10):
    return tuple(options) + (0,) * (count - len(options))


def documented_windows():
    for _, _, warm_up, open_loop, keys in WINDOWS:
        yield padded(words("absolute", 0.5, preset="tezip", keys=keys, warm_up=warm_up, open_loop=bool(open_loop)))


def numbers(text):
    return [tuple(int(word) % 2**32 for word in line.split()) for line in text.splitlines()]


@pytest.fixture
def embedded(run_python, plugin_env, tmp_path):
    """Makes a file that holds the model for travelling fields; returns its path and the model's digest."""

    def make(name):
        run_python(
            "import h5py, models, sys\nwith h5py.File(sys.argv[1], 'w') as f:\n    models.embed(f, models.shifting_model())",
            tmp_path / name, env=plugin_env,
        )
        return tmp_path / name, models.digest(models.shifting_model())

    return make


def models_of(run_python, path, env, name="u"):
    """For each chunk of the dataset the digest of the model that it needs."""
    done = run_python(
        "import h5py, models, sys\nwith h5py.File(sys.argv[1]) as f:\n    print(*models.chunk_models(f[sys.argv[2]]))",
        path, name, env=env,
    )
    return done.stdout.split()
