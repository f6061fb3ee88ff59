"""The bound holds against what a simulation wrote, however its chunks come to be filled.

HDF5 decodes a partly filled chunk, adds a step and encodes it again whenever the chunk does not fit the chunk cache or
the file is reopened. Errors must not add up over those rounds, and the chunk must not end up much larger than
one that was written at once. Both simulations (C with the distribution's HDF5, Rust with a static one) go through this.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import numpy as np
import pytest
from checkpoints import Simulation
from debian import FILTER_ID, ROOT, files, need, run  # noqa: F401

BOUND = 1e-3
STEPS = 40  # two full chunks of 16 and half of a third
LARGEST_GROWTH = 1.15  # bytes of chunks filled step by step over bytes of chunks written at once


@pytest.fixture(scope="session")
def c_program(tmp_path_factory):
    """The C simulation, compiled against the distribution's HDF5."""
    need("cc", "make", "pkg-config")
    out = tmp_path_factory.mktemp("c")
    run("make", "-C", ROOT / "examples" / "c", f"OUT={out}", "CFLAGS=-O2 -Werror", env=dict(os.environ))
    return out / "gray_scott"


@pytest.fixture(scope="session")
def rust_program():
    """The Rust simulation: the one that AUGUR_CHECKPOINT_EXAMPLE names, or built with cargo."""
    named = os.environ.get("AUGUR_CHECKPOINT_EXAMPLE")
    if named:
        return named
    if shutil.which("cargo") is None:
        pytest.skip("cargo is not installed")
    build = subprocess.run(
        ["cargo", "build", "--release", "--locked", "-q", "-p", "augur-checkpoint-example", "--message-format=json"],
        cwd=ROOT, capture_output=True, text=True,
    )
    assert build.returncode == 0, build.stderr
    messages = [json.loads(line) for line in build.stdout.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "checkpoint")


@pytest.fixture(params=["c", "rust"])
def program(request):
    """Each of the two simulations."""
    return request.getfixturevalue(f"{request.param}_program")


@pytest.fixture
def simulation(program, files, tmp_path):  # noqa: F811
    """A simulation in float32 on a grid of 48 x 40."""
    return Simulation(program, files, tmp_path)


def assert_not_much_larger(simulation, tmp_path, bound=BOUND, chunk=16):
    step_by_step = simulation.bytes_of_full_chunks()
    at_once = simulation.bytes_of_full_chunks(simulation.write_at_once(tmp_path / "at_once.h5", bound, chunk))
    assert 0 < step_by_step <= LARGEST_GROWTH * at_once, f"{step_by_step / at_once} times as large as written at once"


@pytest.mark.parametrize("bound", [1e-2, 1e-3, 1e-5])
def test_chunks_in_the_cache(simulation, tmp_path, bound):
    simulation.start("--steps", STEPS, "--bound", bound)
    simulation.assert_bound(bound)
    assert_not_much_larger(simulation, tmp_path, bound)
    assert simulation.files.filters(simulation.path) == [FILTER_ID]


@pytest.mark.parametrize("bound", [1e-2, 1e-3, 1e-5])
def test_chunk_larger_than_the_cache(simulation, tmp_path, bound):
    simulation.start("--steps", STEPS, "--bound", bound, "--cache", 4096)
    simulation.assert_bound(bound)
    assert_not_much_larger(simulation, tmp_path, bound)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_file_reopened_after_each_step(program, files, tmp_path, dtype):  # noqa: F811
    simulation = Simulation(program, files, tmp_path, dtype=dtype)
    simulation.start("--steps", STEPS, "--bound", BOUND, "--reopen")
    simulation.assert_bound(BOUND)
    assert_not_much_larger(simulation, tmp_path)


def test_each_step_in_a_process_of_its_own(simulation, tmp_path):
    simulation.start("--steps", 1, "--bound", BOUND)
    for _ in range(19):
        simulation.resume("--steps", 1, "--restart")
    assert simulation.computed()["u"].shape[0] == 20
    simulation.assert_bound(BOUND)
    assert_not_much_larger(simulation, tmp_path)


def test_restart_in_the_middle_of_a_chunk(simulation, tmp_path):
    simulation.start("--steps", 25, "--bound", BOUND)
    before = simulation.stored()
    simulation.resume("--steps", 12, "--restart")
    simulation.assert_bound(BOUND)
    after = simulation.stored()
    for name in ("u", "v"):  # the chunk that was full before keeps its values
        np.testing.assert_array_equal(after[name][:16], before[name][:16])
    assert_not_much_larger(simulation, tmp_path)


def test_a_restart_continues_from_the_checkpoint(simulation):
    """The restarted run starts from the stored state: another program repeats it with the same numbers."""
    simulation.start("--steps", 9, "--bound", BOUND)
    checkpoint = {name: values[8].astype("f8") for name, values in simulation.stored().items()}
    simulation.resume("--steps", 1, "--every", 1, "--restart")
    u, v = checkpoint["u"], checkpoint["v"]

    def laplacian(f):
        return ((np.roll(f, 1, 0) + np.roll(f, -1, 0)) + (np.roll(f, 1, 1) + np.roll(f, -1, 1))) - 4.0 * f

    uvv = u * v * v
    expected = u + (0.16 * laplacian(u) - uvv + 0.035 * (1.0 - u))
    np.testing.assert_array_equal(simulation.computed()["u"][9], expected.astype("f4"))


@pytest.mark.parametrize("cache", [4096, 1 << 24])
def test_single_steps_of_full_chunks_written_again(simulation, cache):
    """Steps in the middle of full chunks, several times over, each time with new values."""
    simulation.start("--steps", 32, "--bound", BOUND, "--cache", cache)
    before = simulation.stored()
    for step, every in [(4, 12), (4, 7), (11, 9), (4, 30), (0, 5), (14, 11), (20, 3), (30, 8), (11, 13), (4, 10)]:
        simulation.resume("--rewind", step, "--steps", 1, "--every", every, "--cache", cache)
        simulation.assert_bound(BOUND)
    after = simulation.stored()
    untouched = [t for t in range(32) if t not in (5, 12, 1, 15, 21, 31)]
    for name in ("u", "v"):
        np.testing.assert_array_equal(after[name][untouched], before[name][untouched])


def test_many_rewrites_of_one_step_do_not_wear_the_others(simulation):
    simulation.start("--steps", 16, "--bound", BOUND)
    for every in range(1, 31):
        simulation.resume("--rewind", 7, "--steps", 1, "--every", every)
    simulation.assert_bound(BOUND)


def test_written_at_once_keeps_the_bound(simulation):
    simulation.start("--steps", STEPS, "--bound", BOUND, "--at-once")
    simulation.assert_bound(BOUND)


def test_lossless_is_exact(simulation):
    simulation.start("--steps", 20, "--bound", 0, "--reopen")
    computed, stored = simulation.computed(), simulation.stored()
    for name in ("u", "v"):
        np.testing.assert_array_equal(stored[name], computed[name])


@pytest.mark.parametrize("way", [["--reopen"], ["--cache", "4096"], []], ids=["reopened", "no cache", "cached"])
def test_lossy_checkpoints_are_much_smaller_than_lossless_ones(simulation, way):
    simulation.start("--steps", 32, "--bound", 0)
    lossless = simulation.bytes()
    simulation.start("--steps", 32, "--bound", 1e-3, *way)
    assert simulation.bytes() < lossless / 4, f"only {lossless / simulation.bytes()} times smaller than lossless"


def test_c_and_rust_compute_the_same_numbers(c_program, rust_program, files, tmp_path):  # noqa: F811
    raws = []
    for number, program in enumerate([c_program, rust_program]):
        (tmp_path / str(number)).mkdir()
        simulation = Simulation(program, files, tmp_path / str(number), dtype="f8")
        simulation.start("--steps", 12, "--bound", BOUND)
        raws.append(simulation.raw.read_bytes())
    assert raws[0] == raws[1]


def test_the_simulation_says_what_is_missing_without_the_plugin(program, clean_env, tmp_path):
    done = run(program, tmp_path / "run.h5", env=clean_env, check=False)
    assert done.returncode == 1
    assert "HDF5_PLUGIN_PATH" in done.stderr and str(FILTER_ID) in done.stderr
    done = run(program, tmp_path / "run.h5", env={**clean_env, "HDF5_PLUGIN_PATH": "/no/such/folder"}, check=False)
    assert done.returncode == 1 and "HDF5_PLUGIN_PATH" in done.stderr
