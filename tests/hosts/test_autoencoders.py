"""The presets `ae-sz`, `ae-sz+` and `cae` in real HDF5 programs: autoencoders that are embedded, named, found, missing or of the wrong kind.

The models are made by hand (models.autoencoder): they know fields whose blocks are sums of two patterns that no neighbour tells.
"""

from __future__ import annotations

import json
import os
import shutil
import textwrap

import pytest
from debian import need, run
from model_programs import model_env, warnings  # noqa: F401

import models

HEAD = """
import os, sys
import h5py, numpy as np
import models
from augur_testing import FILTER_ID, assert_bound

BOUND, CHUNK, SHAPE = 0.1, (16, 40, 48), (32, 40, 48)
BLOCKS = {6: (4, 8, 8), 7: (4, 8, 8), 8: (1, 1, 64)}
MODELS = {preset: models.autoencoder(block, "cae" if preset == 8 else "swae") for preset, block in BLOCKS.items()}
FIELDS = {preset: models.patterned(SHAPE, block) for preset, block in BLOCKS.items()}
FORECASTER = models.shifting_model()

def create(f, preset, name="u", model=None, strict=False, shape=SHAPE, chunks=CHUNK, dtype="f4", **options):
    return f.create_dataset(name, shape=shape, dtype=dtype, chunks=chunks, compression=FILTER_ID,
                            compression_opts=models.words(BOUND, model, strict, preset), **options)

def write(path, preset):
    '''A file with the dataset u, whose attribute names the model in the file.'''
    with h5py.File(path, "w") as f:
        d = create(f, preset)
        d.attrs["augur_model"] = models.embed(f, MODELS[preset])
        d[...] = FIELDS[preset]

def check(d, preset, *wanted):
    '''The bound holds, and every chunk needs one of the wanted models (None: no model).'''
    assert_bound(FIELDS[preset], d[...], BOUND, what=d.name)
    assert set(models.chunk_models(d)) <= {m and models.digest(m) for m in wanted}, models.chunk_models(d)
"""

PRESETS = {6: "ae-sz", 7: "ae-sz+", 8: "cae"}
ALONE = {
    "ae-sz": "predicted by means, planes and Lorenzo's predictor alone",
    "ae-sz+": "stored as by the preset balanced",
    "cae": "predicted by means, planes and Lorenzo's predictor alone",
}


@pytest.fixture
def program(run_python, model_env):  # noqa: F811
    """Runs a program after HEAD: program(code, *arguments, env={more variables}, ...)."""

    def run(code: str, *arguments, env=(), **options):
        return run_python(HEAD + textwrap.dedent(code), *arguments, env={**model_env, **dict(env)}, **options)

    return run


@pytest.mark.parametrize("preset", PRESETS)
def test_a_model_in_the_file_is_found_by_another_process(program, tmp_h5, preset):
    done = program("write(sys.argv[1], int(sys.argv[2]))", tmp_h5, preset)
    assert warnings(done) == []
    done = program("""
        preset = int(sys.argv[2])
        with h5py.File(sys.argv[1]) as f:
            check(f["u"], preset, MODELS[preset])
            assert bytes(f[f["u"].attrs["augur_model"]][...]) == MODELS[preset]
        # The model is worth its bytes, and is left out where the preset uses none.
        with h5py.File(sys.argv[1] + ".without", "w") as f:
            d = create(f, 0)
            d[...] = FIELDS[preset]
            f.flush()
            plain = d.id.get_storage_size()
        with h5py.File(sys.argv[1]) as f:
            assert 2 * f["u"].id.get_storage_size() < plain, (f["u"].id.get_storage_size(), plain)
    """, tmp_h5, preset)
    assert warnings(done) == []


@pytest.mark.parametrize("preset", PRESETS)
def test_a_digest_in_the_words_is_looked_for_everywhere(program, tmp_path, tmp_h5, preset):
    for place in ("embedded", "path", "store"):
        done = program("""
            preset, place, folder = int(sys.argv[2]), sys.argv[3], sys.argv[4]
            model = MODELS[preset]
            with h5py.File(sys.argv[1], "w") as f:
                models.embed(f, model) if place == "embedded" else models.store(folder + "/" + place, model)
                create(f, preset, model=model, strict=True)[...] = FIELDS[preset]
            with h5py.File(sys.argv[1]) as f:
                check(f["u"], preset, model)
        """, tmp_h5, preset, place, tmp_path, env={"AUGUR_MODEL_PATH": str(tmp_path / "path")})
        assert warnings(done) == [], place
        for folder in ("path", "store"):
            shutil.rmtree(tmp_path / folder, ignore_errors=True)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "|u1", ">i2"])
def test_special_values_within_blocks_are_exact(program, tmp_h5, preset, dtype):
    program("""
        preset, dtype = int(sys.argv[2]), np.dtype(sys.argv[3])
        a = FIELDS[preset].astype(dtype)
        fill = 7 if dtype.kind in "iu" else -9999
        a[:, 3:9, 5:20] = fill                      # whole and half blocks
        a[5].flat[::7] = fill
        if dtype.kind == "f":
            a[2, ::3, 1::5] = np.nan
            a[9, 4], a[9, 11] = np.inf, -np.inf
            a[11, :, 30] = -0.0
        bound = 2.0 if dtype.kind in "iu" else BOUND
        words = (*models.words(bound, None, False, preset),)
        with h5py.File(sys.argv[1], "w") as f:
            d = f.create_dataset("u", data=a, chunks=CHUNK, fillvalue=fill, compression=FILTER_ID, compression_opts=words)
        for process in ("write", "read"):
            with h5py.File(sys.argv[1]) as f:
                assert_bound(a, f["u"][...], bound, fill=fill, what=process)
        # With the model, which meets what stands in for them.
        with h5py.File(sys.argv[1], "w") as f:
            d = f.create_dataset("u", shape=a.shape, dtype=dtype, chunks=CHUNK, fillvalue=fill, compression=FILTER_ID, compression_opts=words)
            d.attrs["augur_model"] = models.embed(f, MODELS[preset])
            d[...] = a
        with h5py.File(sys.argv[1]) as f:
            b = f["u"][...]
            assert_bound(a, b, bound, fill=fill)
            special = ~np.isfinite(a.astype("f8")) | (a == fill)
            assert b[special].tobytes() == a[special].tobytes()
    """, tmp_h5, preset, dtype)


SHAPES = [(4, 8, 8), (1, 8, 8), (7, 13, 11), (3, 1, 17), (17,), (64,), (5, 3, 11, 13), (2, 2), (1, 1, 1, 2), (101, 103)]


@pytest.mark.parametrize("preset", PRESETS)
def test_chunks_of_one_block_and_of_prime_extents(program, tmp_h5, preset):
    done = program(f"""
        preset = int(sys.argv[2])
        for shape in {SHAPES}:
            n = int(np.prod(shape))
            a = models.patterned((1, 1, n), (1, 1, 64), 0.3).reshape(shape)
            for model in (None, MODELS[6], MODELS[8]):
                with h5py.File(sys.argv[1], "w") as f:
                    d = create(f, preset, shape=shape, chunks=shape)
                    if model:
                        d.attrs["augur_model"] = models.embed(f, model)
                    d[...] = a
                with h5py.File(sys.argv[1]) as f:
                    assert_bound(a, f["u"][...], BOUND, what=str(shape))
    """, tmp_h5, preset)
    assert all("augur_model is not there" in line for line in warnings(done))


def test_models_of_either_kind_serve_either_preset(program, tmp_h5):
    """What blocks are is the model's affair."""
    done = program("""
        for preset, model in ((6, 8), (8, 6), (7, 8)):
            with h5py.File(sys.argv[1], "w") as f:
                d = create(f, preset)
                d.attrs["augur_model"] = models.embed(f, MODELS[model])
                d[...] = FIELDS[model]
            with h5py.File(sys.argv[1]) as f:
                check(f["u"], model, MODELS[model])
    """, tmp_h5)
    assert warnings(done) == []


@pytest.mark.parametrize("preset", PRESETS)
def test_a_model_that_is_missing_on_read_is_named(program, tmp_path, tmp_h5, preset):
    program("write(sys.argv[1], int(sys.argv[2]))", tmp_h5, preset)
    program("""
        with h5py.File(sys.argv[1], "r+") as f:
            models.store(sys.argv[2], bytes(f[f["u"].attrs["augur_model"]][...]))
            del f["_augur"]
    """, tmp_h5, tmp_path / "away")
    read = "with h5py.File(sys.argv[1]) as f: check(f['u'], int(sys.argv[2]), MODELS[int(sys.argv[2])])"
    done = program(read, tmp_h5, preset, check=False)
    (digest,) = (file.stem for file in (tmp_path / "away").iterdir())
    assert done.returncode == 1 and "OSError" in done.stderr
    for text in (f"sha256:{digest}", "was found nowhere", f"/_augur/models in {tmp_h5}", f"{tmp_path}/store (the user's store)"):
        assert text in done.stderr, (text, done.stderr)
    program(read, tmp_h5, preset, env={"AUGUR_MODEL_PATH": str(tmp_path / "away")})


@pytest.mark.parametrize("preset", PRESETS)
def test_a_model_that_is_missing_on_write_is_one_warning(program, tmp_h5, preset):
    done = program("""
        preset = int(sys.argv[2])
        with h5py.File(sys.argv[1], "w") as f:
            d = create(f, preset)
            for chunk in (slice(0, 16), slice(16, 32)):
                d[chunk] = FIELDS[preset][chunk]
                f.flush()
        with h5py.File(sys.argv[1]) as f:
            check(f["u"], preset, None)
    """, tmp_h5, preset)
    (line,) = warnings(done)
    name = PRESETS[preset]
    assert line.startswith(f"augur: warning: /u in {tmp_h5} has the preset {name}, but no model"), line
    assert "its attribute augur_model is not there" in line and line.endswith(f"Its chunks are {ALONE[name]}"), line


@pytest.mark.parametrize("preset", PRESETS)
def test_strict_refuses_a_model_that_is_nowhere_or_of_another_kind(program, tmp_h5, preset):
    done = program("""
        preset = int(sys.argv[2])
        with h5py.File(sys.argv[1], "w") as f:
            models.embed(f, FORECASTER)
            for model in (MODELS[preset], FORECASTER):
                try:
                    create(f, preset, model=model, strict=True)
                except (ValueError, RuntimeError, OSError):
                    continue
                raise AssertionError("not refused")
            assert "u" not in f
    """, tmp_h5, preset)
    nowhere, kind = warnings(done)
    assert "was found nowhere" in nowhere, nowhere
    assert f"has no graphs encoder and decoder, which the preset {PRESETS[preset]} needs" in kind, kind


@pytest.mark.parametrize("by", ["attribute", "words"])
@pytest.mark.parametrize("preset", [3, 4, *PRESETS])
def test_a_model_of_another_kind_is_a_warning(program, tmp_h5, preset, by):
    """A forecaster where an autoencoder is looked for, and the reverse."""
    done = program("""
        preset, by = int(sys.argv[2]), sys.argv[3]
        model, field = (FORECASTER, preset) if preset >= 6 else (MODELS[6], 6)
        with h5py.File(sys.argv[1], "w") as f:
            path = models.embed(f, model)
            d = create(f, preset, model=model if by == "words" else None)
            if by == "attribute":
                d.attrs["augur_model"] = path
            d[...] = FIELDS[field]
        with h5py.File(sys.argv[1]) as f:
            check(f["u"], field, None)
    """, tmp_h5, preset, by)
    (line,) = warnings(done)
    wanted = "no graphs encoder and decoder" if preset in PRESETS else "none of the graphs forecaster, interpolator and recurrent"
    assert "cannot be used" in line and wanted in line, line


def test_half_an_autoencoder_is_a_warning(program, tmp_h5):
    """One of the two graphs, and graphs that do not fit each other."""
    done = program("""
        import json, struct
        def changed(change):
            n = struct.unpack("<Q", MODELS[6][:8])[0]
            header = json.loads(MODELS[6][8:8 + n])
            graphs = json.loads(header["__metadata__"]["graphs"])
            change(graphs)
            header["__metadata__"]["graphs"] = json.dumps(graphs)
            text = json.dumps(header).encode()
            return struct.pack("<Q", len(text)) + text + MODELS[6][8 + n:]
        for change in (lambda g: g.pop("encoder"), lambda g: g.pop("decoder"), lambda g: g["decoder"].update(kind="vae"),
                       lambda g: g["encoder"].update(third="level"), lambda g: g["decoder"].update(block=[8, 4, 8]),
                       lambda g: (g["decoder"].update(block=[2, 8, 8]), g["encoder"].update(block=[2, 8, 8]))):
            with h5py.File(sys.argv[1], "w") as f:
                d = create(f, 6)
                d.attrs["augur_model"] = models.embed(f, changed(change))
                d[...] = FIELDS[6]
            with h5py.File(sys.argv[1]) as f:
                check(f["u"], 6, None)
    """, tmp_h5)
    lines = warnings(done)
    assert len(lines) == 6, lines
    for line, text in zip(lines, ["one of the graphs", "one of the graphs", "of kind vae", "other blocks", "reads blocks", "256 points"][:5]):
        assert text in line, (text, line)


@pytest.mark.parametrize("preset", PRESETS)
def test_steps_that_are_added_by_later_processes_keep_the_bound(program, tmp_h5, preset):
    program("""
        preset = int(sys.argv[2])
        with h5py.File(sys.argv[1], "w") as f:
            d = create(f, preset, shape=(0, 40, 48), maxshape=(None, 40, 48))
            d.attrs["augur_model"] = models.embed(f, MODELS[preset])
    """, tmp_h5, preset)
    for start in (0, 3, 10, 15, 20, 29):
        end = {0: 3, 3: 10, 10: 15, 15: 20, 20: 29, 29: 32}[start]
        done = program("""
            preset, start, end = map(int, sys.argv[2:])
            h5py.h5z.filter_avail(49493)
            with h5py.File(sys.argv[1], "r+", rdcc_nbytes=0) as f:
                d = f["u"]
                d.resize(end, axis=0)
                assert_bound(FIELDS[preset][:start], d[:start], BOUND)
                for t in range(start, end):
                    d[t] = FIELDS[preset][t]
        """, tmp_h5, preset, start, end)
        assert warnings(done) == []
    # Full chunks have what the network knows.
    program("""
        preset = int(sys.argv[2])
        with h5py.File(sys.argv[1]) as f:
            check(f["u"], preset, MODELS[preset])
    """, tmp_h5, preset)
    # A step that is written again leaves the others as they are.
    program("""
        preset = int(sys.argv[2])
        with h5py.File(sys.argv[1], "r+", rdcc_nbytes=0) as f:
            d = f["u"]
            before = d[...]
        with h5py.File(sys.argv[1], "r+", rdcc_nbytes=0) as f:
            f["u"][5] = FIELDS[preset][6]
        with h5py.File(sys.argv[1]) as f:
            after = f["u"][...]
        assert_bound(FIELDS[preset][6], after[5], BOUND)
        rest = np.arange(32) != 5
        assert (after[rest] == before[rest]).all()
    """, tmp_h5, preset)


@pytest.mark.parametrize("preset", [6, 8])
def test_blocks_are_chosen_by_length_or_by_distance(program, tmp_h5, preset):
    """The one is no larger than the other here, and both keep the bound."""
    program("""
        from augur_testing import words
        preset = int(sys.argv[2])
        a = FIELDS[preset] + np.linspace(0, 40, SHAPE[2], dtype="f4") * (np.arange(SHAPE[0], dtype="f4") % 5)[:, None, None]
        sizes = []
        for by_distance in (False, True):
            name = {6: "ae-sz", 8: "cae"}[preset]
            with h5py.File(sys.argv[1], "w") as f:
                d = f.create_dataset("u", shape=SHAPE, dtype="f4", chunks=CHUNK, compression=FILTER_ID,
                                     compression_opts=words("absolute", BOUND, preset=name, by_distance=by_distance))
                d.attrs["augur_model"] = models.embed(f, MODELS[preset])
                d[...] = a
            with h5py.File(sys.argv[1]) as f:
                assert_bound(a, f["u"][...], BOUND)
                assert f["u"].id.get_create_plist().get_filter(0)[2][0] >> 30 & 1 == by_distance
                sizes.append(f["u"].id.get_storage_size())
        assert sizes[0] <= 1.01 * sizes[1], sizes
    """, tmp_h5, preset)


def test_netcdf4_writes_and_reads(program, tmp_path):
    pytest.importorskip("netCDF4")
    pytest.importorskip("h5augur")
    for preset, name in PRESETS.items():
        done = program("""
            import h5augur, netCDF4
            path, preset, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
            open("m.safetensors", "wb").write(MODELS[preset])
            with netCDF4.Dataset(path, "w") as nc:
                for axis, n in zip("tyx", SHAPE):
                    nc.createDimension(axis, n)
                model = h5augur.embed_model(nc, "m.safetensors")
                u = nc.createVariable("u", "f4", tuple("tyx"), chunksizes=CHUNK)
                h5augur.compress_variable(u, h5augur.Augur(absolute=BOUND, preset=name, model=model))
                u[:] = FIELDS[preset]
            with h5py.File(path) as f:
                check(f["u"], preset, MODELS[preset])
        """, tmp_path / f"{preset}.nc", preset, name, cwd=tmp_path)
        assert warnings(done) == []
        done = program("""
            import netCDF4
            with netCDF4.Dataset(sys.argv[1]) as nc:
                nc["u"].set_auto_mask(False)
                assert_bound(FIELDS[int(sys.argv[2])], np.asarray(nc["u"][:]), BOUND)
        """, tmp_path / f"{preset}.nc", preset)
        assert warnings(done) == []


def test_h5repack_writes_and_reads(program, model_env, tmp_path):  # noqa: F811
    need("h5repack")
    for preset in PRESETS:
        program("""
            preset = int(sys.argv[2])
            with h5py.File(sys.argv[1], "w") as f:
                d = f.create_dataset("u", data=FIELDS[preset], chunks=CHUNK)
                d.attrs["augur_model"] = models.embed(f, MODELS[preset])
        """, tmp_path / "in.h5", preset)
        words = ",".join(map(str, models.words(0.1, preset=preset)))
        layout = ("-l", "u:CHUNK=16x40x48")
        done = run("h5repack", "-f", f"u:UD=49493,1,{words.count(',') + 1},{words}", *layout, tmp_path / "in.h5", tmp_path / "one.h5", env=model_env)
        assert warnings(done) == [] and "HDF5-DIAG" not in done.stderr
        # Expanded words go into another file, and the filter away again.
        done = run("h5repack", "-f", "u:NONE", *layout, tmp_path / "one.h5", tmp_path / "two.h5", env=model_env)
        assert warnings(done) == []
        program("""
            preset = int(sys.argv[3])
            with h5py.File(sys.argv[1]) as f, h5py.File(sys.argv[2]) as g:
                check(f["u"], preset, MODELS[preset])
                assert g["u"].compression is None and g["u"].id.get_create_plist().get_nfilters() == 0
                assert (g["u"][...] == f["u"][...]).all()
        """, tmp_path / "one.h5", tmp_path / "two.h5", preset)


def test_the_command_shows_how_blocks_are_predicted(program, model_env, tmp_h5):  # noqa: F811
    need("augur")
    for preset, name in PRESETS.items():
        program("write(sys.argv[1], int(sys.argv[2]))", tmp_h5, preset)
        done = run("augur", "inspect", tmp_h5, "--chunks", "--json", env={**model_env, "PATH": os.environ["PATH"]})
        text = json.dumps(json.loads(done.stdout))
        assert name in text
        wanted = {6: ("blocks of 4 steps x 8 x 8", "% by network", "Huffman codes"), 7: ("reconstructions by an autoencoder",),
                  8: ("runs of 64", "% by network", "Huffman codes")}[preset]
        for part in wanted:
            assert part in text, (part, text)
