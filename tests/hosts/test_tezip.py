"""The presets `tezip` and `tezip+` in real HDF5 programs: frames of images and fields, key frames, and networks that remember.

The bound must hold wherever TEZip's own does not: bounds that are no whole numbers, black frames, chunks that are
filled or rewritten in parts.
"""

from __future__ import annotations

import os

import pytest
from debian import need, run
from model_programs import model_env, warnings  # noqa: F401

import models

HEAD = """
import os, sys
import h5py, numpy as np
import models
from augur_testing import FILTER_ID, assert_bound, words

SHAPE = (9, 40, 52)

def film(dtype, steps=9, black=None, colours=0, seed=5):
    '''A picture that moves by models.SHIFT a step, with a little noise, so that no step repeats another, in the middle half of
    what an image may hold; floats about 10.'''
    a = models.travelling(steps, *SHAPE[1:], seed=seed, dtype="f8")
    a += np.random.default_rng(seed).uniform(-0.08, 0.08, a.shape)
    if colours:
        return np.stack([film(dtype, steps, black, seed=seed + c) for c in range(colours)], axis=1)
    if np.dtype(dtype).kind == "f":
        a = a + 10
    else:
        top = np.iinfo(dtype).max
        a = np.rint(np.clip(a * top / 10 + top / 2, 0, top))
    if black is not None:
        a[black] = 0
    return np.ascontiguousarray(a.astype(dtype))

def check(a, b, mode, first, second=0.0, chunk=9, what=""):
    '''The bound, in the arithmetic of no type: whole numbers for integers, long doubles for floats.'''
    assert a.dtype == b.dtype and a.shape == b.shape
    for start in range(0, len(a), chunk):
        x, y = (v[start:start + chunk].astype(v.dtype.newbyteorder("=")).astype(np.longdouble) for v in (a, b))
        limit = {
            "absolute": lambda: np.longdouble(first),
            "relative": lambda: np.longdouble(first) * np.ptp(x),
            "absrel": lambda: min(np.longdouble(first), np.longdouble(second) * np.ptp(x)),
            "pointwise_relative": lambda: np.where(abs(x) < second, 0, np.longdouble(first) * abs(x)),
        }[mode]()
        error = abs(x - y)
        assert (error <= limit).all(), f"{what}: {np.count_nonzero(error > limit)} of {error.size} points exceed {mode} {first}, up to {error.max()}"
        if mode == "pointwise_relative":
            assert (np.sign(x) == np.sign(y)).all(), what

def bounds(dtype):
    '''Modes with parameters that are no whole numbers, fine and coarse.'''
    unit = {"u1": 1.0, "u2": 257.0, "f4": 0.04}[dtype]
    return [("absolute", 7.5 * unit), ("absolute", 0.7 * unit), ("absolute", 25.6 * unit), ("relative", 0.1), ("relative", 0.0137),
            ("absrel", 12.3 * unit, 0.02), ("absrel", 2.6 * unit, 0.5), ("pointwise_relative", 0.1), ("pointwise_relative", 0.0371, 90.5 * unit)]

MODELS = {"none": b"", "frames": models.recurrent_model("frames"), "changes": models.recurrent_model("changes", changes=True),
          "forecaster": models.shifting_model()}

def write(path, a, options, chunk=9, name="x", **more):
    with h5py.File(path, "w", rdcc_nbytes=0) as f:
        d = f.create_dataset(name, data=a, chunks=(chunk, *a.shape[1:]), compression=FILTER_ID, compression_opts=options, **more)
        f.flush()
        return d.id.get_storage_size()

def read(path, name="x"):
    with h5py.File(path) as f:
        return f[name][...]
"""


@pytest.fixture
def program(run_python, model_env, tmp_path):  # noqa: F811
    """Runs a program after HEAD, which finds every model that it uses in a folder."""
    folder = tmp_path / "models"
    for model in (models.recurrent_model("frames"), models.recurrent_model("changes", changes=True), models.shifting_model(),
                  models.recurrent_model("colours", channels=3, changes=True)):
        models.store(folder, model)
    env = {**model_env, "AUGUR_MODEL_PATH": str(folder)}

    def start(code, *arguments, env=env):
        import textwrap

        return run_python(HEAD + textwrap.dedent(code), *arguments, env=env)

    start.env = env
    return start


@pytest.mark.parametrize("model", ["none", "frames", "changes", "forecaster"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_the_bound_holds_in_every_mode(program, tmp_h5, dtype, model):
    program("""
        path, dtype, model = sys.argv[1:]
        digest = bytes.fromhex(models.digest(MODELS[model])) if MODELS[model] else b""
        for black in (None, 0, 4):
            a = film(dtype, black=black)
            for bound in bounds(dtype):
                for preset, windows in (("tezip", {}), ("tezip", dict(keys=4, warm_up=2)), ("tezip", dict(keys=128 + 20, open_loop=True)),
                                        ("tezip+", {})):
                    write(path, a, words(*bound, preset=preset, model=digest, **windows))
                    check(a, read(path), *bound, what=f"{dtype} {model} black {black} {preset} {windows}")
    """, tmp_h5, dtype, model)


@pytest.mark.parametrize("preset", ["tezip", "tezip+"])
def test_networks_predict_what_the_frame_before_does_not(program, tmp_h5, preset):
    done = program("""
        path, preset = sys.argv[1:]
        for dtype, bound in (("u1", 5.5), ("f4", 0.25)):
            sizes = {}
            for name, model in MODELS.items():
                digest = bytes.fromhex(models.digest(model)) if model else b""
                a = film(dtype)
                sizes[name] = write(path, a, words("absolute", bound, preset=preset, model=digest))
                check(a, read(path), "absolute", bound)
                with h5py.File(path) as f:
                    assert models.chunk_models(f["x"]) == [models.digest(model) if model else None], name
            print(dtype, sizes)
            assert all(4 * sizes[name] < 3 * sizes["none"] for name in MODELS if name != "none"), sizes
        # Three colours, one after the other, that one network predicts together; and one that is for another number of them.
        a = film("u1", colours=3)
        sizes = [write(path, a, words("absolute", 5.5, preset=preset, model=bytes.fromhex(models.digest(m)) if m else b""))
                 for m in (b"", models.recurrent_model("colours", channels=3, changes=True))]
        check(a, read(path), "absolute", 5.5)
        assert 4 * sizes[1] < 3 * sizes[0], sizes
    """, tmp_h5, preset)
    assert len(warnings(done)) == 3  # of the datasets without a model


def test_key_frames_cost_and_warm_up(program, tmp_h5):
    """A key frame is coded without another: the more there are, the larger a chunk that is predicted well."""
    program("""
        a = film("u1", steps=16)
        digest = bytes.fromhex(models.digest(MODELS["changes"]))
        size = lambda **windows: write(sys.argv[1], a, words("absolute", 8.5, preset="tezip", model=digest, **windows), chunk=16)
        sizes = {}
        for name, windows in dict(first={}, eighth=dict(keys=8), always=dict(keys=252), never=dict(keys=128), warm=dict(warm_up=4)).items():
            sizes[name] = size(**windows)
            check(a, read(sys.argv[1]), "absolute", 8.5, chunk=16, what=name)
        assert sizes["first"] == sizes["never"] < min(sizes["eighth"], sizes["warm"]), sizes
        assert max(sizes["eighth"], sizes["warm"]) < sizes["always"], sizes
    """, tmp_h5)


def test_short_chunks_and_odd_shapes(program, tmp_h5):
    program("""
        path = sys.argv[1]
        for model in MODELS.values():
            digest = bytes.fromhex(models.digest(model)) if model else b""
            for dtype, bound in (("u1", ("absolute", 6.3)), ("u2", ("pointwise_relative", 0.013)), ("f4", ("relative", 0.0123))):
                whole = film(dtype, black=2)
                for shape in ((1, 40, 52), (2, 40, 52), (4, 17, 23), (5, 1, 1), (3, 1, 52), (6, 40, 1)):
                    a = np.ascontiguousarray(whole[tuple(slice(n) for n in shape)])
                    for windows in ({}, dict(warm_up=7), dict(keys=2, warm_up=3, open_loop=True)):
                        write(path, a, words(*bound, preset="tezip", model=digest, **windows), chunk=len(a))
                        check(a, read(path), *bound, chunk=len(a), what=f"{dtype} {shape} {windows}")
                # One dimension, and a dataset whose last chunk is not full.
                line = whole[:, 5, 6].copy()
                write(path, line, words(*bound, preset="tezip", model=digest, warm_up=2), chunk=4)
                check(line, read(path), *bound, chunk=4, what=f"{dtype} line")
                write(path, whole, words(*bound, preset="tezip", model=digest, warm_up=2), chunk=4)
                check(whole, read(path), *bound, chunk=4, what=f"{dtype} in chunks of 4")
    """, tmp_h5)


@pytest.mark.parametrize("how", ["kept open", "reopened"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_step_by_step_and_parts_written_again(program, tmp_h5, dtype, how):
    """Without room in the chunk cache HDF5 decodes a chunk, changes a part, and encodes it again: errors must not add up.

    Whole steps are known again, and the rest of a frame of which a part changes.
    """
    program("""
        path, dtype, how = sys.argv[1:]
        rng = np.random.default_rng(3)
        for model in ("none", "changes"):
            digest = bytes.fromhex(models.digest(MODELS[model])) if MODELS[model] else b""
            for bound in (("absolute", {"u1": 7.5, "u2": 1000.7, "f4": 0.13}[dtype]), ("pointwise_relative", 0.0713)):
                for windows in ({}, dict(keys=4), dict(keys=128 + 16, warm_up=2, open_loop=True)):
                    n, what = 20, f"{dtype} {model} {bound} {windows}"
                    a = film(dtype, steps=n, black=3)
                    opts = words(*bound, preset="tezip", model=digest, **windows)
                    with h5py.File(path, "w", rdcc_nbytes=0) as f:
                        f.create_dataset("x", shape=(0, *SHAPE[1:]), maxshape=(None, *SHAPE[1:]), dtype=dtype, chunks=SHAPE,
                                         compression=FILTER_ID, compression_opts=opts)
                    f = h5py.File(path, "r+", rdcc_nbytes=0)
                    for t in range(n):
                        d = f["x"]
                        if t:
                            d[0, 0, 0]  # loads the plugin
                        d.resize(t + 1, axis=0)
                        d[t] = a[t]
                        if how == "reopened":
                            f.close()
                            f = h5py.File(path, "r+", rdcc_nbytes=0)
                        # The promise of pointwise bounds is of each point alone, so that steps still to come do not matter.
                        if t % 4 == 3:
                            check(a[:t + 1], f["x"][...], *bound, what=f"{what} after step {t}")
                    for round in range(12):
                        t, y, x = (int(rng.integers(m)) for m in (n, 30, 40))
                        part = (t, slice(y, y + 9), slice(x, x + 11)) if round % 4 < 3 else (t, slice(None), slice(None))
                        new = film(dtype, steps=n)[(t + 5 + round) % n][part[1:]]
                        a[part] = new
                        f["x"][0, 0, 0]
                        f["x"][part] = new
                        if round % 3 == 2:
                            d = f["x"]
                            d[t] = d[t]
                            check(a, f["x"][...], *bound, what=f"{what} after part {round}")
                    f.close()
                    check(a, read(path), *bound, what=f"{what} at the end")
                    with h5py.File(path) as f:
                        masks = [f["x"].id.get_chunk_info(i).filter_mask for i in range(f["x"].id.get_num_chunks())]
                    assert masks == [0, 0, 0], masks
    """, tmp_h5, dtype, how)


def test_without_a_model_a_warning_says_what_is_done(program, tmp_h5):
    """tezip predicts by the frame before; learned and tezip+ store what balanced stores."""
    done = program("""
        a = film("f4")
        streams = {}
        with h5py.File(sys.argv[1], "w") as f:
            for preset in ("balanced", "learned", "tezip", "tezip+"):
                d = f.create_dataset(preset, data=a, chunks=SHAPE, compression=FILTER_ID, compression_opts=words("absolute", 0.1, preset=preset))
                f.flush()
                streams[preset] = d.id.read_direct_chunk((0, 0, 0))[1]
                check(a, d[...], "absolute", 0.1, what=preset)
        assert streams["learned"] == streams["tezip+"] == streams["balanced"] != streams["tezip"]
    """, tmp_h5)
    lines = warnings(done)
    assert len(lines) == 3, lines
    for preset, line in zip(("learned", "tezip", "tezip+"), lines):
        does = "predicted by the frame before alone" if preset == "tezip" else "stored as by the preset balanced"
        assert f"has the preset {preset}, but no model" in line and does in line, line


def test_words_that_make_no_sense_are_refused(program, tmp_h5):
    done = program("""
        a = film("u1")
        bad = [words("absolute", 1.5, preset="balanced", keys=8), words("absolute", 1.5, preset="tezip+", warm_up=1),
               words("absolute", 1.5, preset="learned", open_loop=True), words("absolute", 1.5, preset="tezip", keys=1),
               words("absolute", 1.5, preset="tezip", keys=253)]
        with h5py.File(sys.argv[1], "w") as f:
            for i, opts in enumerate(bad):
                try:
                    f.create_dataset(f"x{i}", data=a, chunks=SHAPE, compression=FILTER_ID, compression_opts=opts)
                except (ValueError, OSError, RuntimeError):
                    continue
                raise SystemExit(f"{opts} were not refused")
    """, tmp_h5)
    for text in ("preset balanced does not have", "preset tezip+ does not have", "preset learned does not have", "every 1 steps", "threshold of key frames"):
        assert text in done.stderr, (text, done.stderr)


@pytest.mark.parametrize("model", ["none", "changes"])
def test_h5repack_and_c_programs(program, tmp_path, model):
    """h5repack of the distribution compresses, passes the words on, and what it wrote is read in C; each with HDF5 1.10."""
    need("h5repack", "h5dump")
    done = program("""
        a = film("u1", steps=18)
        a.tofile(sys.argv[2])
        with h5py.File(sys.argv[1], "w") as f:
            f.create_dataset("x", data=a, chunks=SHAPE)
        digest = bytes.fromhex(models.digest(MODELS[sys.argv[3]])) if MODELS[sys.argv[3]] else b""
        print(*words("absolute", 7.5, preset="tezip", model=digest, keys=4, warm_up=2, open_loop=True), sep=",")
    """, tmp_path / "in.h5", tmp_path / "raw", model)
    words = done.stdout.strip()
    run("h5repack", "-f", f"x:UD=49493,0,{words.count(',') + 1},{words}", tmp_path / "in.h5", tmp_path / "small.h5", env=program.env)
    run("h5repack", "-l", "x:CHUNK=5x20x52", tmp_path / "small.h5", tmp_path / "again.h5", env=program.env)
    for name in ("small.h5", "again.h5"):
        run("h5dump", "-d", "/x", "-b", "LE", "-o", tmp_path / f"{name}.bin", tmp_path / name, env=program.env)
    program("""
        folder, model = sys.argv[1:]
        a = np.fromfile(f"{folder}/raw", "u1").reshape(18, *SHAPE[1:])
        small, again = (np.fromfile(f"{folder}/{name}.h5.bin", "u1").reshape(a.shape) for name in ("small", "again"))
        check(a, small, "absolute", 7.5, what="h5repack")
        check(small, again, "absolute", 7.5, what="h5repack of what is compressed")
        assert np.array_equal(small, read(f"{folder}/small.h5"))  # with another HDF5
        with h5py.File(f"{folder}/again.h5") as f, h5py.File(f"{folder}/small.h5") as g:
            first, second = (h["x"].id.get_create_plist().get_filter(0)[2] for h in (g, f))
            assert first[:10] == second[:10] and first[0] >> 27 == 2 | 1 << 3 and first[1] >> 24 == 4, (first, second)
            digest = models.digest(MODELS[model]) if MODELS[model] else None
            assert set(models.chunk_models(g["x"])) == {digest}
    """, tmp_path, model)


C_PROGRAM = r"""
#include <hdf5.h>
#include "augur_h5.h"

/* program FILE RAW DIGEST: writes the images of RAW (9 x 40 x 52 bytes) as TEZip does, and reads them back */
int main(int argc, char **argv)
{
    static unsigned char data[9][40][52], back[9][40][52];
    const hsize_t dims[3] = { 9, 40, 52 };
    augur_options_t options = augur_pointwise_relative(0.1, 0.0);
    FILE *raw = fopen(argv[2], "rb");
    hid_t file, space, dcpl, set;
    int i, worst = 0;

    if (argc != 4 || raw == NULL || fread(data, sizeof data, 1, raw) != 1)
        return 10;
    fclose(raw);
    augur_set_windows(&options, 0, 0.02, 2, 0);
    augur_set_model(&options, argv[3]);
    options.strict = 1;
    file = H5Fcreate(argv[1], H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    space = H5Screate_simple(3, dims, NULL);
    dcpl = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(dcpl, 3, dims);
    if (H5Pset_augur(dcpl, &options) < 0)
        return 11;
    set = H5Dcreate2(file, "x", H5T_NATIVE_UCHAR, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
    if (set < 0 || H5Dwrite(set, H5T_NATIVE_UCHAR, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        return 12;
    if (H5Dclose(set) < 0 || H5Fclose(file) < 0)
        return 13;
    file = H5Fopen(argv[1], H5F_ACC_RDONLY, H5P_DEFAULT);
    set = H5Dopen2(file, "x", H5P_DEFAULT);
    if (set < 0 || H5Dread(set, H5T_NATIVE_UCHAR, H5S_ALL, H5S_ALL, H5P_DEFAULT, back) < 0)
        return 14;
    for (i = 0; i < 9 * 40 * 52; i++) {
        const int x = (&data[0][0][0])[i], y = (&back[0][0][0])[i], d = x > y ? x - y : y - x;
        if (10 * d > x)
            return 15;
        worst = d > worst ? d : worst;
    }
    printf("%d\n", worst);
    return 0;
}
"""


def test_a_c_program_compresses_images(program, tmp_path):
    need("cc", "pkg-config")
    (tmp_path / "images.c").write_text(C_PROGRAM)
    include = f"-I{os.path.join(os.path.dirname(__file__), '..', '..', 'h5-plugin', 'include')}"
    hdf5 = run("pkg-config", "--cflags", "--libs", "hdf5-serial", env=dict(os.environ)).stdout.split()
    run("cc", "-std=c99", "-Wall", "-Wextra", "-Werror", include, tmp_path / "images.c", "-o", tmp_path / "images", *hdf5, env=dict(os.environ))
    program("film('u1', black=1).tofile(sys.argv[1])", tmp_path / "raw")
    digest = models.digest(models.recurrent_model("frames"))
    done = run(tmp_path / "images", tmp_path / "c.h5", tmp_path / "raw", digest, env=program.env)
    assert int(done.stdout) > 3 and done.stderr == ""  # something was lost, and nothing to warn about
    program("""
        a = film("u1", black=1)
        check(a, read(sys.argv[1]), "pointwise_relative", 0.1)
        with h5py.File(sys.argv[1]) as f:
            assert models.chunk_models(f["x"]) == [sys.argv[2]]
    """, tmp_path / "c.h5", digest)
