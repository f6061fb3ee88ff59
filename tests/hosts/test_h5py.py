"""The plugin in h5py's wheel: types, shapes, special values, pipelines, and what users do with datasets.

Programs get the plugin through HDF5_PLUGIN_PATH alone (fixture plugin_env) unless they say otherwise.
"""

from __future__ import annotations

import pytest

SHAPES = [
    ((97,), (31,)),
    ((1,), (1,)),
    ((37, 41), (16, 41)),
    ((20, 31, 29), (16, 31, 29)),
    ((17, 13, 11), (4, 5, 7)),
    ((5, 1, 23), (2, 1, 23)),
    ((6, 3, 11, 13), (4, 3, 11, 7)),
    ((4, 2, 3, 7, 11), (3, 2, 2, 7, 5)),
    ((1, 30, 40), (1, 30, 40)),
]

EVERY_SHAPE = """
    import sys, h5py, numpy as np
    from augur_testing import assert_bound, field, largest_error, words, FILTER_ID
    path, dtype = sys.argv[1], np.dtype(sys.argv[2])
    for number, (shape, chunks) in enumerate(eval(sys.argv[3])):
        a = field(shape, dtype)
        spread = np.ptp(a.astype("f8"))
        if dtype.kind in "iu":
            bounds = [0.3, 1.0, 7.9, float(np.floor(spread / 50))]
            allowed = [0, 1, 7, bounds[3]]
        else:
            bounds = [1e-2, 3e-4, 1e-9]
            allowed = bounds
        for bound, allow in zip(bounds, allowed):
            if bound == 0:
                continue
            for preset in ("balanced", "fast", "tezip", "ae-sz", "cae"):
                what = f"{dtype} {shape} {chunks} {bound} {preset}"
                with h5py.File(path, "w") as f:
                    f.create_dataset("x", data=a, chunks=chunks, compression=FILTER_ID,
                                     compression_opts=words("absolute", bound, preset=preset))
                with h5py.File(path) as f:
                    assert f["x"].dtype == dtype
                    assert_bound(a, f["x"][...], allow, what=what)
        with h5py.File(path, "w") as f:
            f.create_dataset("x", data=a, chunks=chunks, compression=FILTER_ID, compression_opts=words("lossless"))
        with h5py.File(path) as f:
            assert f["x"][...].tobytes() == a.tobytes(), f"lossless {dtype} {shape}"
"""


@pytest.mark.parametrize("dtype", [f"{order}{kind}" for kind in ("f2", "f4", "f8", "i2", "u2", "i4", "u4") for order in "<>"] + ["|i1", "|u1"])
def test_bound_holds_for_every_type_rank_and_shape(run_python, plugin_env, tmp_h5, dtype):
    run_python(EVERY_SHAPE, tmp_h5, dtype, SHAPES, env=plugin_env)


@pytest.mark.parametrize("preset", ["balanced", "tezip", "ae-sz", "cae"])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8"])
def test_every_kind_of_bound_holds(run_python, plugin_env, tmp_h5, dtype, preset):
    run_python("""
        import sys, h5py, numpy as np
        from augur_testing import assert_bound, field, largest_error, words, FILTER_ID
        path, dtype, preset = sys.argv[1], np.dtype(sys.argv[2]), sys.argv[3]
        a = (field((32, 24, 36), dtype) * 3 - 1).astype(dtype)
        a[3, 4, 5] = 0
        wide = a.astype(a.dtype.newbyteorder("=")).astype(np.longdouble)
        chunks = [(slice(16 * i, 16 * i + 16),) for i in range(2)]

        def decoded(*arguments):
            with h5py.File(path, "w") as f:
                f.create_dataset("x", data=a, chunks=(16, 24, 36), compression=FILTER_ID,
                                 compression_opts=words(*arguments, preset=preset))
            with h5py.File(path) as f:
                return f["x"][...]

        rel = np.longdouble(0.01)
        b = decoded("relative", 0.01)
        for c in chunks:
            assert_bound(a[c], b[c], float(rel * np.ptp(wide[c])), what="relative")
        assert_bound(a, decoded("relative", 0.01, 2.0), 0.02, what="relative to a range of 2")
        b = decoded("absrel", 0.001, 0.01)
        assert_bound(a, b, 0.001, what="absrel, absolute smaller")
        b = decoded("absrel", 100.0, 0.01)
        for c in chunks:
            assert_bound(a[c], b[c], float(rel * np.ptp(wide[c])), what="absrel, relative smaller")
        for floor in (0.0, 0.5):
            b = decoded("pointwise_relative", 0.01, floor).astype(np.longdouble)
            assert (np.abs(b - wide) <= np.longdouble(0.01) * np.abs(wide)).all()
            assert (np.sign(b) == np.sign(wide)).all()
            assert (b == wide)[np.abs(wide) < floor].all()
        b = decoded("psnr", 55.0).astype(np.longdouble)
        for c in chunks:
            mse = ((b - wide)[c] ** 2).mean()
            assert mse == 0 or 20 * np.log10(np.ptp(wide[c])) - 10 * np.log10(mse) >= 55
    """, tmp_h5, dtype, preset, env=plugin_env)


@pytest.mark.parametrize("preset", ["balanced", "fast"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "<i2", ">u4", "|u1"])
def test_lossy_chunks_are_much_smaller_than_lossless_ones(run_python, plugin_env, tmp_h5, dtype, preset):
    """The bound is used, for every type: waves with 0.2 % noise in 10-bit steps take at most 3.5 bits a value."""
    run_python("""
        import sys, h5py, numpy as np
        from augur_testing import field, words, FILTER_ID
        path, dtype, preset = sys.argv[1], np.dtype(sys.argv[2]), sys.argv[3]
        a = field((32, 60, 64), dtype, noise=0.005)
        bound = float(np.ptp(a.astype("f8"))) / 1024
        if dtype.kind in "iu":
            bound = max(bound, 1.0)
        sizes = {}
        with h5py.File(path, "w") as f:
            for mode, first in (("absolute", bound), ("lossless", 0.0)):
                d = f.create_dataset(mode, data=a, chunks=(16, 60, 64), compression=FILTER_ID, compression_opts=words(mode, first, preset=preset))
                f.flush()
                sizes[mode] = d.id.get_storage_size()
        print(sizes, a.nbytes)
        assert sizes["absolute"] * 8 <= 3.5 * a.size, sizes["absolute"] * 8 / a.size
        assert sizes["absolute"] < sizes["lossless"] <= a.nbytes + 2 * 64
    """, tmp_h5, dtype, preset, env=plugin_env)


SPECIAL = """
    import sys, h5py, numpy as np
    from augur_testing import assert_bound, field, words, FILTER_ID
    path, dtype, preset = sys.argv[1], np.dtype(sys.argv[2]), sys.argv[3]
    native = dtype.newbyteorder("=")
    unsigned = np.dtype(f"u{dtype.itemsize}")
    mantissa = {2: 10, 4: 23, 8: 52}[dtype.itemsize]
    exponent = unsigned.type(((1 << (8 * dtype.itemsize - 1 - mantissa)) - 1) << mantissa)
    rng = np.random.default_rng(7)

    def scattered(a, share, make):
        a = a.astype(native)
        mask = rng.random(a.shape) < share
        a[mask] = make(np.count_nonzero(mask))
        return a.astype(dtype)

    def payloads(n):
        return (exponent | rng.integers(1, 1 << mantissa, n).astype(unsigned)
                | rng.integers(0, 2, n).astype(unsigned) << unsigned.type(8 * dtype.itemsize - 1)).view(native)

    shape = (20, 19, 23)
    base = field(shape, dtype)
    info = np.finfo(native)
    fills = [9.969209968386869e36, 1e20, -1e34, -9999.0] if dtype.itemsize > 2 else [-999.0]
    cases = {
        "NaN payloads": (scattered(base, 0.1, payloads), None),
        "infinities": (scattered(base, 0.1, lambda n: np.where(rng.random(n) < 0.5, np.inf, -np.inf)), None),
        "signed zeros": (scattered(base * 0, 0.5, lambda n: np.full(n, -0.0)), None),
        "subnormals": (scattered(base, 0.1, lambda n: rng.integers(1, 1 << mantissa, n).astype(unsigned).view(native)), None),
        "all subnormal": (np.full(shape, info.smallest_subnormal * 5, dtype), None),
        "all NaN": (np.full(shape, np.nan, dtype), None),
        "all infinite": (np.full(shape, -np.inf, dtype), None),
        "constant": (np.full(shape, 2.7182818, dtype), None),
        "zero": (np.zeros(shape, dtype), None),
        "noise": (rng.integers(0, 256, base.nbytes, dtype="u1").view(dtype).reshape(shape), None),
        "largest and smallest": (scattered(base, 0.3, lambda n: np.where(rng.random(n) < 0.5, info.max, info.min)), None),
        "one NaN frame": (np.concatenate([base[:7], np.full((1, *shape[1:]), np.nan, dtype), base[8:]]), None),
    }
    for fill in fills:
        cases[f"fill {fill}"] = (scattered(base, 0.3, lambda n: np.full(n, fill)), fill)
    for name, (a, fill) in cases.items():
        for bound in (1e-2, 1e-6):
            for own in (True, False) if fill is not None else (False,):
                with h5py.File(path, "w") as f:
                    d = f.create_dataset("x", data=a, chunks=(16, 19, 23), compression=FILTER_ID,
                                         compression_opts=words("absolute", bound, preset=preset), fillvalue=fill if own else None)
                    size, chunks = d.id.get_storage_size(), d.id.get_num_chunks()
                with h5py.File(path) as f:
                    # Without being told, a fill value of 1e20 is a number like any other, and within the bound.
                    assert_bound(a, f["x"][...], bound, fill=fill if own else None, what=f"{name} at {bound}")
                assert size <= chunks * (16 * 19 * 23 * dtype.itemsize + 64), f"{name} takes {size} bytes"
"""


@pytest.mark.parametrize("preset", ["balanced", "tezip", "ae-sz", "cae"])
@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
def test_special_values_are_exact_and_nothing_grows(run_python, plugin_env, tmp_h5, dtype, preset):
    run_python(SPECIAL, tmp_h5, dtype, preset, env=plugin_env)


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", ">u4", "|i1"])
def test_a_given_fill_value_is_exact_and_out_of_the_range(run_python, tmp_h5, dtype):
    run_python("""
        import sys, h5py, h5augur, numpy as np
        from augur_testing import assert_bound, field
        path, dtype = sys.argv[1], np.dtype(sys.argv[2])
        fill = {"f": -9999.0, "i": -128, "u": 2**31}[dtype.kind]
        a = (field((32, 20, 30), "f4") * 10 + (2**20 if dtype.kind == "u" else 0)).astype(dtype)
        a[np.random.default_rng(3).random(a.shape) < 0.2] = fill
        with h5py.File(path, "w") as f:
            f.create_dataset("x", data=a, chunks=(16, 20, 30), **h5augur.Augur(relative=0.05, fill_value=fill))
        with h5py.File(path) as f:
            b = f["x"][...]
        for c in (slice(0, 16), slice(16, 32)):
            valid = a[c][a[c] != fill].astype("f8")
            assert_bound(a[c], b[c], 0.05 * np.ptp(valid), fill=fill)
    """, tmp_h5, dtype)


def test_shuffle_before_and_checksum_after(run_python, plugin_env, tmp_h5):
    run_python("""
        import sys, h5py, numpy as np
        from augur_testing import assert_bound, field, words, FILTER_ID
        for dtype in ("<f4", ">f8", "<i2"):
            for shuffle in (False, True):
                for fletcher32 in (False, True):
                    a = field((20, 21, 22), dtype)
                    with h5py.File(sys.argv[1], "w") as f:
                        d = f.create_dataset("x", data=a, chunks=(16, 21, 22), shuffle=shuffle, fletcher32=fletcher32,
                                             compression=FILTER_ID, compression_opts=words("absolute", 2.0 if dtype == "<i2" else 1e-3))
                        n = d.id.get_create_plist().get_nfilters()
                        assert n == 1 + shuffle + fletcher32
                    with h5py.File(sys.argv[1]) as f:
                        assert_bound(a, f["x"][...], 2 if dtype == "<i2" else 1e-3, what=f"{dtype} {shuffle} {fletcher32}")
    """, tmp_h5, env=plugin_env)


APPEND = """
    import sys, h5py
    {imports}
    from augur_testing import field
    with h5py.File(sys.argv[1], "r+", rdcc_nbytes=int(sys.argv[2])) as f:
        d = f["x"]
        n = len(d)
        d.resize(n + 5, axis=0)
        d[n:] = field((60, 14, 15))[n:n + 5]
"""


@pytest.mark.parametrize("cache", [0, 1 << 20])
def test_append_in_fresh_processes(run_python, clean_env, tmp_h5, cache):
    """Processes that only write do not load plugins by themselves: importing h5augur is what they need."""
    from augur_testing import assert_bound, field

    run_python("""
        import sys, h5py, h5augur
        with h5py.File(sys.argv[1], "w") as f:
            f.create_dataset("x", shape=(0, 14, 15), maxshape=(None, 14, 15), dtype="f4", chunks=(8, 14, 15), **h5augur.Augur(absolute=1e-3))
    """, tmp_h5)
    for _ in range(6):
        run_python(APPEND.format(imports="import h5augur"), tmp_h5, cache)
    import h5augur  # noqa: F401
    import h5py

    with h5py.File(tmp_h5) as f:
        assert f["x"].shape == (30, 14, 15)
        assert_bound(field((60, 14, 15))[:30], f["x"][...], 1e-3)
        assert [f["x"].id.get_chunk_info(i).filter_mask for i in range(f["x"].id.get_num_chunks())] == [0, 0, 0, 0]


def test_extend_and_shrink(run_python, plugin_env, tmp_h5):
    run_python("""
        import sys, h5py, numpy as np
        from augur_testing import assert_bound, field, words, FILTER_ID
        a = field((40, 18, 19))
        with h5py.File(sys.argv[1], "w", rdcc_nbytes=0) as f:
            d = f.create_dataset("x", data=a[:10], maxshape=(None, None, None), chunks=(16, 8, 19), fillvalue=-5,
                                 compression=FILTER_ID, compression_opts=words("absolute", 1e-3))
            d.resize((40, 18, 19))
            assert (d[10:] == -5).all()
            d[10:] = a[10:]
            assert_bound(a, d[...], 1e-3)
            d.resize((21, 13, 19))
            assert_bound(a[:21, :13], d[...], 1e-3)
        with h5py.File(sys.argv[1], "r+", rdcc_nbytes=0) as f:
            d = f["x"]
            assert_bound(a[:21, :13], d[...], 1e-3)
            d.resize((40, 25, 30))
            b = d[...]
            assert_bound(a[:21, :13], b[:21, :13, :19], 1e-3)
            b[:21, :13, :19] = -5
            assert (b == -5).all()  # what was cut off comes back as the fill value
            d.resize((0, 25, 30))
            d.resize((3, 18, 19))
            d[...] = a[:3]
            assert_bound(a[:3], d[...], 1e-3)
    """, tmp_h5, env=plugin_env)


def test_copies_are_datasets_of_their_own(run_python, plugin_env, tmp_h5):
    run_python("""
        import sys, h5py, numpy as np
        from augur_testing import assert_bound, field, words, FILTER_ID
        a = field((20, 21, 22))
        with h5py.File(sys.argv[1], "w") as f, h5py.File(sys.argv[1] + ".other", "w") as g:
            d = f.create_dataset("x", data=a, maxshape=(None, 21, 22), chunks=(16, 21, 22), compression=FILTER_ID, compression_opts=words("absolute", 1e-3))
            f.copy("x", "y")          # H5Ocopy: chunks are copied as they are
            f.copy("x", g, "x")
            g.create_dataset("z", data=d, dcpl=d.id.get_create_plist())  # the same, completed cd_values
            e = g.create_dataset("w", shape=(30, 9), dtype="f8", maxshape=(None, None), chunks=(7, 9), compression=FILTER_ID,
                                 compression_opts=d.id.get_create_plist().get_filter(0)[2])  # another type and shape
            e[...] = field((30, 9), "f8")
            for c in (f["y"], g["x"], g["z"]):
                c.resize(28, axis=0) if c.maxshape[0] is None else None
        with h5py.File(sys.argv[1], "r+") as f, h5py.File(sys.argv[1] + ".other") as g:
            for c in (f["x"], f["y"], g["x"]):
                assert_bound(a, c[:20], 1e-3)
            assert_bound(a, g["z"][:20], 2e-3)  # lossy twice
            assert_bound(field((30, 9), "f8"), g["w"][...], 1e-3)
            f["y"][20:] = a[:8]
            assert_bound(a[:8], f["y"][20:], 1e-3)
            assert_bound(a, f["y"][:20], 1e-3)
            assert_bound(a, f["x"][...], 1e-3)
    """, tmp_h5, env=plugin_env)


def test_direct_chunk_read_and_write(run_python, plugin_env, tmp_h5):
    run_python("""
        import sys, h5py, numpy as np
        from augur_testing import assert_bound, field, words, FILTER_ID
        a = field((32, 21, 22))
        make = dict(shape=a.shape, dtype="f4", chunks=(16, 21, 22), compression=FILTER_ID, compression_opts=words("absolute", 1e-3))
        with h5py.File(sys.argv[1], "w") as f:
            d, e, r = (f.create_dataset(n, **make) for n in "der")
            d[...] = a
            f.flush()
            for start in (0, 16):
                mask, stream = d.id.read_direct_chunk((start, 0, 0))
                assert mask == 0 and len(stream) < a[:16].nbytes
                e.id.write_direct_chunk((start, 0, 0), stream)
            r.id.write_direct_chunk((0, 0, 0), a[:16].tobytes(), filter_mask=1)  # the filter is skipped: raw
            r[16:] = a[16:]
        with h5py.File(sys.argv[1]) as f:
            assert_bound(a, f["e"][...], 1e-3)
            assert f["e"][...].tobytes() == f["d"][...].tobytes()
            assert f["r"][:16].tobytes() == a[:16].tobytes()
            assert_bound(a, f["r"][...], 1e-3)
    """, tmp_h5, env=plugin_env)


def test_damaged_chunks_are_errors_and_never_numbers(run_python, plugin_env, tmp_h5):
    done = run_python("""
        import sys, h5py, numpy as np
        from augur_testing import field, words, FILTER_ID
        a = field((16, 12, 13))
        with h5py.File(sys.argv[1], "w") as f:
            d = f.create_dataset("x", data=a, chunks=a.shape, compression=FILTER_ID, compression_opts=words("absolute", 1e-2))
        with h5py.File(sys.argv[1]) as f:
            good = f["x"][...]
            assert abs(good - a).max() <= 1e-2
            _, stream = f["x"].id.read_direct_chunk((0, 0, 0))
        rng = np.random.default_rng(5)
        damaged = [stream[:n] for n in (1, 7, 40, len(stream) // 2, len(stream) - 1)]
        damaged += [stream + b"x", bytes(len(stream)), b"\\xff" * len(stream)]
        for position in [*range(64), *rng.integers(0, len(stream), 100)]:
            flipped = bytearray(stream)
            flipped[position] ^= 1 << int(rng.integers(8))
            damaged.append(bytes(flipped))
        for number, stream in enumerate(damaged):
            with h5py.File(sys.argv[1], "w") as f:
                d = f.create_dataset("x", shape=a.shape, dtype="f4", chunks=a.shape, compression=FILTER_ID, compression_opts=words("absolute", 1e-2))
                d.id.write_direct_chunk((0, 0, 0), stream)
            with h5py.File(sys.argv[1]) as f:
                try:
                    numbers = f["x"][...]
                except OSError:
                    continue
                right = numbers.tobytes() == good.tobytes()
                raise AssertionError(f"damage {number} went unnoticed, and the numbers are {'right' if right else 'wrong'}")
    """, tmp_h5, env=plugin_env)
    assert "augur" in done.stderr.lower()  # h5py drops the reason, the plugin's own line has it


def test_virtual_datasets(run_python, plugin_env, tmp_h5):
    run_python("""
        import os, sys, h5py
        from augur_testing import assert_bound, field, words, FILTER_ID
        a = field((48, 11, 12))
        directory = os.path.dirname(sys.argv[1])
        layout = h5py.VirtualLayout(shape=a.shape, dtype="f4")
        for i in range(3):
            name = os.path.join(directory, f"part{i}.h5")
            with h5py.File(name, "w") as f:
                f.create_dataset("x", data=a[16 * i:16 * i + 16], chunks=(16, 11, 12), compression=FILTER_ID, compression_opts=words("absolute", 1e-3))
            layout[16 * i:16 * i + 16] = h5py.VirtualSource(name, "x", shape=(16, 11, 12))
        with h5py.File(sys.argv[1], "w") as f:
            f.create_virtual_dataset("all", layout)
        with h5py.File(sys.argv[1], "r+") as f:
            assert_bound(a, f["all"][...], 1e-3)
            f["all"][10:20] = a[30:40]  # through to two sources
            a[10:20] = a[30:40].copy()
        with h5py.File(sys.argv[1]) as f:
            assert_bound(a, f["all"][...], 1e-3)
    """, tmp_h5, env=plugin_env)


def test_early_allocation_and_fill_times(run_python, plugin_env, tmp_h5):
    run_python("""
        import sys, h5py, numpy as np
        from augur_testing import assert_bound, field, words, FILTER_ID
        a = field((32, 11, 12))
        for alloc in (h5py.h5d.ALLOC_TIME_EARLY, h5py.h5d.ALLOC_TIME_LATE, h5py.h5d.ALLOC_TIME_INCR):
            for fill_time in (h5py.h5d.FILL_TIME_ALLOC, h5py.h5d.FILL_TIME_IFSET, h5py.h5d.FILL_TIME_NEVER):
                plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                plist.set_chunk((16, 11, 12))
                plist.set_alloc_time(alloc)
                plist.set_fill_time(fill_time)
                plist.set_fill_value(np.array(-7, "f4"))
                plist.set_filter(FILTER_ID, h5py.h5z.FLAG_OPTIONAL, words("absolute", 1e-3))
                with h5py.File(sys.argv[1], "w", rdcc_nbytes=0) as f:
                    space = h5py.h5s.create_simple(a.shape)
                    d = h5py.Dataset(h5py.h5d.create(f.id, b"x", h5py.h5t.IEEE_F32LE, space, plist))
                    d[:20] = a[:20]
                with h5py.File(sys.argv[1]) as f:
                    b = f["x"][...]
                    assert_bound(a[:20], b[:20], 1e-3)
                    if fill_time != h5py.h5d.FILL_TIME_NEVER:
                        assert (b[20:] == -7).all()
    """, tmp_h5, env=plugin_env)


def test_mandatory_and_optional_filters(run_python, plugin_env, tmp_h5):
    """A request that cannot be kept is refused when the dataset is made, whichever way it was made."""
    run_python("""
        import sys, h5py, numpy as np
        from augur_testing import assert_bound, field, words, FILTER_ID
        a = field((16, 11, 12))

        def create(f, name, flag, options, dtype=h5py.h5t.IEEE_F32LE, shape=a.shape):
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk(shape)
            plist.set_filter(FILTER_ID, flag, options)
            return h5py.Dataset(h5py.h5d.create(f.id, name.encode(), dtype, h5py.h5s.create_simple(shape), plist))

        with h5py.File(sys.argv[1], "w") as f:
            for flag in (h5py.h5z.FLAG_MANDATORY, h5py.h5z.FLAG_OPTIONAL):
                create(f, f"good{flag}", flag, words("absolute", 1e-3))[...] = a
                create(f, f"none{flag}", flag, ())[...] = a  # no words: lossless
                for bad in [words("absolute", 0.0), words("absolute", -1.0), words("absolute", float("nan")), words("absolute", float("inf")),
                            words("relative", -1.0), words("pointwise_relative", 1.0), words("psnr", 1e6),
                            (2,), (0,), (1 | 99 << 8, 1, 1, 1), (1, 99, 1, 1), words("absolute", 1e-3, time_axis=3)]:
                    try:
                        create(f, "bad", flag, bad)
                    except (ValueError, OSError, RuntimeError):
                        continue
                    raise AssertionError(f"flag {flag}: {bad} was accepted")
        with h5py.File(sys.argv[1]) as f:
            for flag in (h5py.h5z.FLAG_MANDATORY, h5py.h5z.FLAG_OPTIONAL):
                assert_bound(a, f[f"good{flag}"][...], 1e-3)
                assert f[f"none{flag}"][...].tobytes() == a.tobytes()
    """, tmp_h5, env=plugin_env)


def test_types_that_augur_does_not_know_are_never_damaged(run_python, plugin_env, tmp_h5):
    """Compound, string, 64-bit integer and the like: refused at creation, or stored exactly."""
    run_python("""
        import sys, h5py, numpy as np
        from augur_testing import words, FILTER_ID
        rng = np.random.default_rng(2)
        n = 500
        kinds = {
            "i8": rng.integers(-2**62, 2**62, n), "u8": rng.integers(0, 2**63, n, dtype="u8"),
            "S7": np.array([b"abcdefg"] * n), "c8": (rng.random(n) + 1j).astype("c8"),
            "compound": np.zeros(n, [("a", "f4"), ("b", "i2")]), "bool": rng.random(n) < 0.5,
            "array": np.zeros(n, [("a", "f4", (3,))]), "g": rng.random(n).astype(np.longdouble),
        }
        kinds["compound"]["a"] = rng.random(n)
        for name, a in kinds.items():
            with h5py.File(sys.argv[1], "w") as f:
                try:
                    f.create_dataset("x", data=a, chunks=(100,), compression=FILTER_ID, compression_opts=words("absolute", 0.1))
                except (ValueError, OSError, RuntimeError, TypeError):
                    print(name, "refused")
                    continue
            with h5py.File(sys.argv[1]) as f:
                b = f["x"][...]
            if a.dtype == np.longdouble:
                assert (b == a).all(), name
            else:
                assert b.tobytes() == a.tobytes(), name
            print(name, "exact")
    """, tmp_h5, env=plugin_env)


def test_reading_without_the_plugin_says_so(run_python, clean_env, plugin_env, tmp_h5, tmp_path):
    run_python("""
        import sys, h5py
        from augur_testing import field, words, FILTER_ID
        with h5py.File(sys.argv[1], "w") as f:
            f.create_dataset("x", data=field((16, 11, 12)), chunks=(16, 11, 12), compression=FILTER_ID, compression_opts=words("absolute", 1e-3))
    """, tmp_h5, env=plugin_env)
    code = "import h5py, sys; h5py.File(sys.argv[1])['x'][...]"
    done = run_python(code, tmp_h5, env={**clean_env, "HDF5_PLUGIN_PATH": str(tmp_path)}, check=False)
    assert done.returncode == 1 and "OSError" in done.stderr
    assert "HDF5_PLUGIN_PATH" in done.stderr  # HDF5's own words
    run_python(code, tmp_h5, env=plugin_env)
    run_python("import h5augur\n" + code, tmp_h5)
