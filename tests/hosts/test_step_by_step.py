"""Chunks that are filled step by step: the bound holds against what was written, however often HDF5 re-encodes.

Without room in the chunk cache, or with the file reopened between steps as restarts do, HDF5 decodes the
partly filled chunk, adds a step and encodes it again. Errors must not add up.
"""

from __future__ import annotations

import pytest

STEPS = """
    import os, sys, h5py, numpy as np
    from augur_testing import assert_bound, field, words, FILTER_ID
    path, dtype, mode, how = sys.argv[1], np.dtype(sys.argv[2]), sys.argv[3], sys.argv[4]
    first = {{"absolute": 1e-3, "relative": 1e-3, "absrel": 1e-3, "pointwise_relative": 1e-3, "psnr": 60.0, "counts": 3.0}}[mode]
    second = {{"absrel": 1e-2, "relative": 4.0}}.get(mode, 0.0)
    n = 40
    a = field((n, 21, 23), dtype)
    if mode == "pointwise_relative":
        a = (a + 2).astype(dtype)
    opts = words("absolute" if mode == "counts" else mode, first, second)
    wide = a.astype(dtype.newbyteorder("=")).astype(np.longdouble)

    def check(b, what, upto=n):
        if mode == "pointwise_relative":
            error = np.abs(b.astype(np.longdouble) - wide[:upto]) / np.abs(wide[:upto])
            assert error.max() <= np.longdouble(first), (what, error.max() / first)
        else:
            bound = {{"relative": first * 4.0, "psnr": np.inf}}.get(mode, first)
            assert_bound(a[:upto], b, bound, what=what)

    def create(f, name="x", steps=0):
        return f.create_dataset(name, shape=(steps, 21, 23), maxshape=(None, 21, 23), dtype=dtype, chunks=(16, 21, 23),
                                compression=FILTER_ID, compression_opts=opts)
"""

APPEND = STEPS + """
    with h5py.File(path, "w", rdcc_nbytes=0) as f:
        create(f)
        create(f, "at_once", n)[...] = a
    f = None
    for i in range(n):
        if f is None:
            f = h5py.File(path, "r+", rdcc_nbytes=0)
            f["x"].shape, f["x"][:0]
        d = f["x"]
        if i:
            d[0, 0, 0]  # loads the plugin in this process: HDF5 does not when it only writes
        d.resize(i + 1, axis=0)
        d[i] = a[i]
        if how == "reopened":
            f.close()
            f = None
        elif how == "flushed":
            f.flush()
        if i % 5 == 0:
            check((f or h5py.File(path, rdcc_nbytes=0))["x"][:i + 1], f"after step {{i}}", i + 1)
    if f is not None:
        f.close()
    with h5py.File(path) as f:
        check(f["x"][...], "at the end")
        check(f["at_once"][...], "written at once")
        # The two chunks that became full; the third still waits for more steps.
        sizes = [sum(f[name].id.get_chunk_info_by_coord((start, 0, 0)).size for start in (0, 16)) for name in ("x", "at_once")]
        masks = [f["x"].id.get_chunk_info(i).filter_mask for i in range(f["x"].id.get_num_chunks())]
    assert masks == [0, 0, 0], masks
    print(sizes[0] / sizes[1])
"""

CASES = [
    ("<f4", "absolute"),
    (">f4", "absolute"),
    ("<f8", "absolute"),
    ("<f2", "absolute"),
    ("<i2", "counts"),
    ("|u1", "counts"),
    (">u4", "counts"),
    ("<f4", "relative"),
    ("<f8", "absrel"),
    ("<f4", "pointwise_relative"),
]


@pytest.mark.parametrize("how", ["uncached", "flushed", "reopened"])
@pytest.mark.parametrize(("dtype", "mode"), CASES)
def test_appending_step_by_step_keeps_the_bound(run_python, plugin_env, tmp_h5, dtype, mode, how):
    done = run_python(APPEND.format(), tmp_h5, dtype, mode, how, env=plugin_env)
    assert float(done.stdout) <= 1.15  # design.md: no more than 1.15 times as large as written at once


REWRITE = STEPS + """
    with h5py.File(path, "w", rdcc_nbytes=0) as f:
        create(f, steps=n)[...] = a
    rng = np.random.default_rng(11)
    for round in range(30):
        with h5py.File(path, "r+", rdcc_nbytes=0) as f:
            d = f["x"]
            d[0, 0, 0]
            i = int(rng.integers(n))
            if how == "other values":
                a[i] = field((n, 21, 23), dtype, seed=100 + round)[rng.integers(n)]
                if mode == "pointwise_relative":
                    a[i] += 2
                wide[i] = a[i]
                d[i] = a[i]
            elif how == "same values":
                d[i] = a[i]
            elif how == "what was read":
                d[i] = d[i]
            else:  # a patch of one frame
                patch = (i, slice(3, 9), slice(2, 20))
                a[patch] = a[(i + 7) % n][3:9, 2:20]
                wide[patch] = a[patch]
                d[patch] = a[patch]
            check(d[...], f"after round {{round}}")
    with h5py.File(path) as f:
        check(f["x"][...], "at the end")
"""


@pytest.mark.parametrize("how", ["other values", "same values", "what was read", "patches"])
@pytest.mark.parametrize(("dtype", "mode"), [("<f4", "absolute"), (">f8", "absolute"), ("<i2", "counts"), ("<f4", "pointwise_relative")])
def test_rewriting_parts_of_full_chunks_keeps_the_bound(run_python, plugin_env, tmp_h5, dtype, mode, how):
    run_python(REWRITE.format(), tmp_h5, dtype, mode, how, env=plugin_env)


@pytest.mark.parametrize("how", ["uncached", "reopened"])
def test_steps_in_any_order_and_along_another_time_axis(run_python, plugin_env, tmp_h5, how):
    run_python("""
        import sys, h5py, numpy as np
        from augur_testing import assert_bound, field, words, FILTER_ID
        path, how = sys.argv[1:]
        a = np.ascontiguousarray(field((32, 21, 23)).transpose(1, 0, 2))  # time is the second axis
        with h5py.File(path, "w") as f:
            f.create_dataset("x", shape=a.shape, dtype="f4", chunks=(21, 16, 23), compression=FILTER_ID,
                             compression_opts=words("absolute", 1e-3, time_axis=1), fillvalue=-99)
        f = None
        done = []
        for i in np.random.default_rng(4).permutation(32):
            f = f or h5py.File(path, "r+", rdcc_nbytes=0)
            f["x"][0, 0, 0]
            f["x"][:, i] = a[:, i]
            done.append(i)
            b = f["x"][...]
            assert_bound(a[:, done], b[:, done], 1e-3, what=f"after {len(done)} steps")
            assert (np.delete(b, done, axis=1) == -99).all()
            if how == "reopened":
                f.close()
                f = None
    """, tmp_h5, how, env=plugin_env)


def test_a_value_far_off_arrives_late(run_python, plugin_env, tmp_h5):
    """A step of another magnitude makes the encoder choose anew for the chunk; old steps stay within their bound."""
    run_python("""
        import sys, h5py, numpy as np
        from augur_testing import assert_bound, field, words, FILTER_ID
        for mode, first in (("absolute", 1e-3), ("absrel", 1e-3)):
            for late in (1e6, 1e30, np.nan, np.inf):
                a = field((16, 21, 23))
                a[13] *= late
                with h5py.File(sys.argv[1], "w", rdcc_nbytes=0) as f:
                    d = f.create_dataset("x", shape=a.shape, dtype="f4", chunks=a.shape, compression=FILTER_ID,
                                         compression_opts=words(mode, first, 1e-3 if mode == "absrel" else 0.0))
                    for i in range(16):
                        d[i] = a[i]
                        # the smaller of both bounds is at most the absolute one
                        assert_bound(a[:i + 1], d[:i + 1], first, what=f"{mode} {late} step {i}")
    """, tmp_h5, env=plugin_env)
