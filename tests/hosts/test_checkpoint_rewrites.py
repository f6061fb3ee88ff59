"""The bound holds however often a chunk is decoded, changed and encoded again, whatever is written into it.

The chunk cache is off, so that every write of a step makes HDF5 decode the chunk, replace the step and encode the chunk.
The errors are those of the values that are in the file at the end, against what was last written there.
"""

from __future__ import annotations

import json

import pytest

# Carries out each of the named scripts on a new dataset with one chunk of 16 steps: writes steps in the script's order,
# [step, kind] each, with the chunk cache off. Prints for each script the largest error over the bound of every step.
PROGRAM = """
import json, sys
import h5py, numpy as np
from augur_testing import FILTER_ID, field, words

path, mode, first, second, dtype = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
steps, shape = 16, (30, 36)
smooth = field((64, *shape), "f8", noise=0.0)

def values(kind, turn):
    if kind == "smooth":
        return smooth[turn % 64]
    if kind == "large":
        return 1000.0 * smooth[turn % 64] + 5.0
    if kind == "noise":
        return np.random.default_rng(turn).standard_normal(shape)
    if kind == "constant":
        return np.full(shape, 0.625 + turn)
    if kind == "decimal":
        return np.round(smooth[turn % 64] * 50) / 10
    if kind == "gaps":
        v = smooth[turn % 64].copy()
        v[3:9, 5:20] = np.nan
        v[12, 12] = 1e20
        return v
    if kind == "zero":
        return np.zeros(shape)

def carry_out(f, name, script):
    truth = np.zeros((steps, *shape), dtype)
    widest = 0.0
    d = f.create_dataset(name, shape=(0, *shape), maxshape=(None, *shape), chunks=(steps, *shape), dtype=dtype,
                         compression=FILTER_ID, compression_opts=words(mode, first, second))
    for turn, (step, kind) in enumerate(script):
        if step >= d.shape[0]:
            d.resize(step + 1, axis=0)
        truth[step] = values(kind, turn).astype(dtype)
        d[step] = truth[step]
        # A relative bound is a fraction of the value range at the time of a step's last coding.
        valid = truth[np.isfinite(truth) & (abs(truth) < 1e19)].astype("f8")
        widest = max(widest, valid.max() - valid.min())
    back = d[...]
    truth = truth[:len(back)]
    special = ~np.isfinite(truth) | (abs(truth) >= 1e19)
    assert np.array_equal(truth[special], back[special], equal_nan=True), "special values changed"
    error = np.abs(back.astype("f8") - truth.astype("f8"))
    allowed = {
        "lossless": lambda: np.zeros_like(error),
        "absolute": lambda: np.full_like(error, first),
        "relative": lambda: np.full_like(error, first * (second or widest)),
        "absrel": lambda: np.full_like(error, min(first, second * widest)),
        "pointwise_relative": lambda: np.where(abs(truth) < second, 0.0, first * abs(truth.astype("f8"))),
    }[mode]()
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(special | (error == 0), 0.0, error / allowed)
    return [round(float(r), 4) for r in ratio.reshape(len(ratio), -1).max(axis=1)]

with h5py.File(path, "w", rdcc_nbytes=0) as f:
    print(json.dumps({name: carry_out(f, name, script) for name, script in json.loads(sys.argv[6]).items()}))
"""

FILL = [[step, "smooth"] for step in range(16)]
KINDS = ["smooth", "large", "noise", "constant", "decimal", "gaps", "zero"]
BOUNDS = [
    ("absolute", 1e-2, 0.0),
    ("absolute", 1e-3, 0.0),
    ("absolute", 1e-5, 0.0),
    ("relative", 1e-3, 0.0),
    ("relative", 1e-3, 4.0),
    ("absrel", 1e-2, 1e-3),
    ("pointwise_relative", 1e-2, 0.0),
    ("pointwise_relative", 1e-3, 1e-3),
    ("lossless", 0.0, 0.0),
]


SCRIPTS = {
    "half of the steps replaced four times": {
        kind: FILL + [[step, kind] for _ in range(4) for step in range(1, 16, 2)] for kind in KINDS
    },
    "steps replaced by one kind after the other": {"": FILL + [[(7 * i) % 16, KINDS[i % len(KINDS)]] for i in range(40)]},
    "filled step by step": {kind: [[step, kind] for step in range(16)] for kind in KINDS},
    "filled with another kind at every step": {"": [[step, KINDS[(3 * step) % len(KINDS)]] for step in range(16)]},
    "filled in another order": {
        "backwards": [[step, "smooth"] for step in range(15, -1, -1)],
        "scattered": [[step, "smooth"] for step in (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)],
    },
}


@pytest.fixture
def hold(run_python, plugin_env, tmp_path):
    """Carries out scripts; fails where a step is beyond the bound, and says for which script by how much."""

    def run(scripts, mode, first, second, dtype="f4"):
        named = {name or "all": script for name, script in scripts.items()}
        done = run_python(PROGRAM, tmp_path / "u.h5", mode, first, second, dtype, json.dumps(named), env=plugin_env)
        broken = {name: max(ratios) for name, ratios in json.loads(done.stdout).items() if max(ratios) > 1}
        assert not broken, f"largest error over bound: {broken}"

    return run


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda b: "-".join(map(str, b)))
@pytest.mark.parametrize("what", SCRIPTS)
def test_the_bound_holds(hold, what, bound):
    hold(SCRIPTS[what], *bound)


TYPES = [("f8", 1e-3), ("f8", 1e-9), ("f2", 1e-2), (">f4", 1e-3), (">f8", 1e-2), ("i2", 3.0), ("i4", 20.0), ("u1", 1.0)]


@pytest.mark.parametrize("dtype, bound", TYPES)
def test_the_bound_holds_for_every_type(hold, dtype, bound):
    kinds = ["smooth", "large", "noise", "constant"] if dtype != "u1" else ["constant", "zero"]
    fill = [[step, "large" if dtype[0] == "i" else kinds[0]] for step in range(16)]
    hold({"": fill + [[(5 * i) % 16, kinds[i % len(kinds)]] for i in range(20)]}, "absolute", bound, 0.0, dtype)
