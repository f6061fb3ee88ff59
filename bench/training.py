"""What the benchmarks of models share: the command that trains, which steps it sees, and a run of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fields import Field

HERE = os.path.dirname(os.path.abspath(__file__))


def command() -> str:
    """The `augur` of this folder, or the one that is installed."""
    built = os.path.join(HERE, "..", "dist", "bin", "augur")
    found = built if os.path.exists(built) else shutil.which("augur")
    if not found:
        raise SystemExit("error: there is no command augur: run `make cli torch`")
    return found


def first_steps(field: Field, asked: int | None) -> int:
    """Steps to train on: what is asked for, otherwise half of them in whole chunks."""
    import demo

    steps = len(field.values)
    chunk = demo.chunk_shape(field.values.shape, field.values.dtype.itemsize)[0]
    first = asked or max(steps // 2 // chunk, 1) * chunk
    if not 8 <= first < steps:
        raise SystemExit(f"error: {field.name} has {steps} steps: training needs the first 8 of them or more, and others to measure on")
    return first


def run(augur: str, words: list[str]) -> str:
    """Runs `augur train` with these words, on one thread; what it prints on standard output."""
    done = subprocess.run([augur, "train", *words], stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode != 0:
        raise SystemExit(f"error: {' '.join(done.args)} ended with {done.returncode}")
    return done.stdout


def on_first(augur: str, model: str, field: Field, first: int, options: list[str]) -> None:
    """Trains a model on the first steps of a field, whether there seems to be something to learn or not."""
    import demo
    import h5py

    with tempfile.TemporaryDirectory() as directory:
        data = os.path.join(directory, "field.h5")
        with h5py.File(data, "w") as f:
            chunk = demo.chunk_shape((first, *field.values.shape[1:]), field.values.dtype.itemsize)
            f.create_dataset("data", data=field.values[:first], chunks=chunk, fillvalue=field.fill)
        run(augur, [f"{data}:/data", "--insist", "-o", model, *options])
