"""What the tests of models share: the head of their programs, and an environment without other models.

Not a test module.
"""

from __future__ import annotations

import textwrap

import pytest

HEAD = """
import os, shutil, sys
import h5py, numpy as np
import models
from augur_testing import assert_bound

BOUND, CHUNK = 1e-2, (16, 60, 61)
A = models.travelling()
M, N = models.shifting_model("first"), models.shifting_model("second")

def create(f, name, model=None, strict=False, **options):
    return f.create_dataset(name, shape=A.shape, dtype="f4", chunks=CHUNK, compression=49493,
                            compression_opts=models.words(BOUND, model, strict), **options)

def check(d, *wanted):
    '''Every chunk holds its bound, and needs one of the wanted models (None: no model).'''
    assert_bound(A, d[...], BOUND, what=d.name)
    wanted = {m and models.digest(m) for m in wanted}
    found = models.chunk_models(d)
    assert len(found) == 2 and set(found) <= wanted, (d.name, found, wanted)

def write(path, name):
    '''A file with the dataset u, whose model `name` names.'''
    with h5py.File(path, "w") as f:
        d = create(f, "u")
        name(f, d)
        d[...] = A

def attribute_of_type(d, value, kind):
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    h5py.h5a.create(d.id, b"augur_model", kind, space).write(value)
"""


@pytest.fixture
def model_env(plugin_env, tmp_path):
    """The environment of a program that finds the plugin, and no model but those of the test."""
    return {**plugin_env, "AUGUR_MODEL_STORE": str(tmp_path / "store")}


@pytest.fixture
def program(run_python, model_env):
    """Runs a program after HEAD: program(code, *arguments, env={more variables}, check=True)."""

    def run(code: str, *arguments, env=(), **options):
        return run_python(HEAD + textwrap.dedent(code), *arguments, env={**model_env, **dict(env)}, **options)

    return run


def warnings(done) -> list[str]:
    """The lines that the plugin wrote."""
    return [line for line in done.stderr.splitlines() if line.startswith("augur:")]


def text_of_models() -> dict[str, str]:
    """Digests of the programs' models M and N."""
    import models

    return {"M": models.digest(models.shifting_model("first")), "N": models.digest(models.shifting_model("second"))}
