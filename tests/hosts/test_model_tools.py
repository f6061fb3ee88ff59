"""Models for users of Python and of the command: naming them, putting them into files, moving them about.

What the filter does with them is tested in test_models*.py. The tests of the command need `augur` on PATH.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import h5augur
import h5py
import models
import netCDF4
import numpy as np
import pytest
from augur_testing import assert_bound
from h5augur import Augur

BOUND = 0.05
MODEL = models.shifting_model()
DIGEST = models.digest(MODEL)
PATH = f"/_augur/models/{DIGEST}"


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "made" / "shift.safetensors"
    path.parent.mkdir()
    path.write_bytes(MODEL)
    return path


@pytest.fixture
def augur(clean_env, tmp_path):
    """Runs the command without the plugin, in the test's directory, with a store of its own."""
    if shutil.which("augur") is None:
        pytest.skip("augur is not on PATH")

    def run(*arguments, status=0, env=None):
        done = subprocess.run(
            ["augur", *map(str, arguments)],
            env={**clean_env, "AUGUR_MODEL_STORE": str(tmp_path / "store"), **(env or {})},
            cwd=tmp_path, capture_output=True, text=True,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stderr

    return run


def prefix(options):
    return np.array(options[6:10], "<u4").tobytes().hex()


@pytest.mark.parametrize("form", ["path", "str", "sha256", "digits", "upper", "in-file", "half"])
def test_a_model_is_named_in_many_ways(model_file, form):
    model = {
        "path": model_file, "str": str(model_file), "sha256": f"sha256:{DIGEST}", "digits": DIGEST, "upper": DIGEST.upper(),
        "in-file": PATH, "half": f"sha256:{DIGEST[:32]}",
    }[form]
    augur = Augur(absolute=BOUND, model=model)
    assert augur.filter_options == models.words(BOUND, MODEL)
    assert prefix(augur.filter_options) == DIGEST[:32]
    assert eval(repr(augur), {"Augur": Augur}) == augur
    assert Augur.from_filter_options(augur.filter_options) == augur
    assert "preset" not in augur.get_config()


def test_the_attribute_may_name_it():
    for arguments in (dict(model=True), dict(model="attribute"), dict(preset="learned")):
        augur = Augur(absolute=BOUND, **arguments)
        assert augur.filter_options == models.words(BOUND)[:4]
        assert Augur(**augur.get_config()) == augur == Augur.from_filter_options(augur.filter_options)
    strict = Augur(absolute=BOUND, model=DIGEST, strict=True)
    assert strict.filter_options == models.words(BOUND, MODEL, strict=True)
    assert Augur(**strict.get_config()) == strict == Augur.from_filter_options(strict.filter_options)
    assert Augur(absolute=BOUND, model=None, strict=False) == Augur(absolute=BOUND, model=False) == Augur(absolute=BOUND)


@pytest.mark.parametrize("arguments", [
    dict(absolute=BOUND, model=DIGEST),
    dict(absolute=BOUND, model=True),
    dict(relative=1e-3, value_range=80, model=True),
    dict(relative=1e-3, value_range=80, model=DIGEST),
    dict(absolute=BOUND, fill_value=-1.0, model=True, time_axis=1),
], ids=repr)
@pytest.mark.parametrize("fill", [None, 0.0, -7.5])
def test_a_dataset_tells_which_model_it_was_made_with(arguments, fill, tmp_h5):
    """Also where the filter puts the dataset's own fill value into words that would else hold the digest."""
    with h5py.File(tmp_h5, "w") as f:
        d = f.create_dataset("x", shape=(20, 8, 9), dtype="f4", chunks=(5, 8, 9), fillvalue=fill, **Augur(**arguments))
        number, _, options, _ = d.id.get_create_plist().get_filter(0)
        assert len(options) == 16
        assert h5augur.from_filter_options(number, options) == Augur(**arguments)


@pytest.mark.parametrize(
    ("error", "arguments", "says"),
    [
        (ValueError, dict(model=True, preset="balanced"), "'balanced'"),
        (ValueError, dict(model=True, preset="fast"), "'fast'"),
        (ValueError, dict(model="sha256:12"), "64 hexadecimal digits"),
        (FileNotFoundError, dict(model="no/such/file"), "no/such/file.*nor is that a name"),
        (FileNotFoundError, dict(model=DIGEST[1:]), "64 hexadecimal digits"),
        (ValueError, dict(model=__file__), "is no Augur model"),
        (TypeError, dict(model=3), "model"),
        (TypeError, dict(model=MODEL), "model"),
        (TypeError, dict(strict=True), "strict"),
        (TypeError, dict(model=True, strict="yes"), "strict"),
    ],
    ids=lambda v: repr(v)[:40],
)
def test_what_is_no_model_is_refused(error, arguments, says):
    with pytest.raises(error, match=says):
        Augur(absolute=BOUND, **arguments)


@pytest.mark.parametrize("damage", ["empty", "short", "length", "header", "other"])
def test_files_that_are_no_models_are_refused(tmp_path, damage):
    file = tmp_path / "bad"
    file.write_bytes({
        "empty": b"", "short": MODEL[:100], "length": b"\xff" * 8 + MODEL[8:], "header": MODEL[:8] + b"[" * 870,
        "other": models.safetensors({"w": np.zeros(3, "i1")}, {"format": "pt"}),
    }[damage])
    with pytest.raises(ValueError, match="bad is no Augur model"):
        h5augur.model_digest(file)
    with h5py.File(tmp_path / "f.h5", "w") as f, pytest.raises(ValueError, match="is no Augur model"):
        h5augur.embed_model(f, file)


def test_embedding_is_done_once_and_attributes_name_it(model_file, tmp_h5):
    assert h5augur.model_digest(model_file) == DIGEST == h5augur.model_digest(MODEL)
    with h5py.File(tmp_h5, "w") as f:
        f["a"], f["g/b"], f["c"] = np.zeros(3), np.zeros(3), np.zeros(3)
        assert h5augur.embed_model(f, model_file, dataset="a") == PATH
        assert h5augur.embed_model(f["g"], MODEL, dataset=["/g/b"]) == PATH
        f["c"].attrs["augur_model"] = 7
        assert h5augur.embed_model(f["c"], MODEL, dataset=f["c"]) == PATH
        assert f[PATH].dtype == "u1" and f[PATH].shape == (len(MODEL),) and f[PATH].chunks is None
        other = models.shifting_model("other", (1, 1))
        h5augur.embed_model(f, other, dataset=[f["a"], "c"])
        assert len(f["/_augur/models"]) == 2
    assert h5augur.embed_model(tmp_h5, MODEL, dataset="c") == PATH  # by the file's path
    with h5py.File(tmp_h5) as f:
        named = {name: f[name].attrs["augur_model"].decode() for name in ("a", "g/b", "c")}
        assert named == {"a": f"/_augur/models/{models.digest(other)}", "g/b": PATH, "c": PATH}
        assert f[PATH][...].tobytes() == MODEL
        with pytest.raises(ValueError, match="for reading only"):
            h5augur.embed_model(f, MODEL)
    with h5py.File(tmp_h5, "a") as f:
        for wrong in ("none", "g"):
            with pytest.raises(KeyError):
                h5augur.embed_model(f, MODEL, dataset=wrong)
        f[PATH][3] = 255
        with pytest.raises(ValueError, match="something else"):
            h5augur.embed_model(f, MODEL)
    with pytest.raises(TypeError, match="h5py.File"):
        h5augur.embed_model(7, MODEL)


def test_large_models_are_compressed_where_that_helps(tmp_h5):
    wordy = models.shifting_model("x" * 50_000)
    noise = np.random.default_rng(1).integers(-128, 128, 50_000, "i1", endpoint=False)
    dense = models.safetensors({"w": noise}, {"format": "augur-model", "version": "1", "graphs": "{}"})
    with h5py.File(tmp_h5, "w") as f:
        assert f[h5augur.embed_model(f, wordy)].id.get_storage_size() < 1000
        assert f[h5augur.embed_model(f, dense)].chunks is None
        assert f[h5augur.embed_model(f, wordy)][...].tobytes() == wordy


WRITE = """
    import h5py, h5augur, models, sys
    file, model = sys.argv[1:]
    data = models.travelling()
    with h5py.File(file, "w") as f:
        path = h5augur.embed_model(f, model)
        f.create_dataset("named", data=data, chunks=(16, 60, 61), **h5augur.Augur(absolute=0.05, model=path, strict=True))
        d = f.create_dataset("attribute", data.shape, "f4", chunks=(16, 60, 61), **h5augur.Augur(absolute=0.05, model=True))
        h5augur.embed_model(f, model, dataset=d)
        d[...] = data
        f.create_dataset("plain", data=data, chunks=(16, 60, 61), **h5augur.Augur(absolute=0.05))
        size = lambda name: f[name].id.get_storage_size()
    with h5py.File(file) as f:
        for name in ("named", "attribute"):
            assert models.chunk_models(f[name]) == [models.digest(models.shifting_model())] * 2, name
            assert f[name].id.get_storage_size() * 1.5 < f["plain"].id.get_storage_size(), name
"""


def test_a_file_with_its_model_needs_nothing_else(run_python, model_file, tmp_h5, plugin_env):
    run_python(WRITE, tmp_h5, model_file)
    model_file.unlink()
    moved = tmp_h5.parent / "elsewhere" / "again.h5"
    moved.parent.mkdir()
    tmp_h5.rename(moved)
    # Read without h5augur, in a process that never saw the model.
    run_python("""
        import h5py, models, sys
        from augur_testing import assert_bound
        with h5py.File(sys.argv[1]) as f:
            for name in ("named", "attribute", "plain"):
                assert_bound(models.travelling(), f[name][...], 0.05, what=name)
    """, moved, env=plugin_env)


NETCDF = """
    import h5augur, models, netCDF4, sys
    file, model = sys.argv[1:]
    with netCDF4.Dataset(file, "w") as nc:
        for name, size in (("time", None), ("y", 60), ("x", 61)):
            nc.createDimension(name, size)
        variables = []
        for name, options in (("named", model), ("attribute", True)):
            v = nc.createVariable(name, "f4", ("time", "y", "x"), chunksizes=(16, 60, 61))
            h5augur.compress_variable(v, h5augur.Augur(absolute=0.05, model=options))
            variables.append(v)
        h5augur.embed_model(nc, model, dataset="attribute")
        for v in variables:
            v[:] = models.travelling()
"""


def test_netcdf4_writes_with_models(run_python, model_file, tmp_path, plugin_env):
    path = tmp_path / "a.nc"
    run_python(NETCDF, path, model_file)
    model_file.unlink()
    run_python("""
        import h5py, models, netCDF4, sys
        from augur_testing import assert_bound
        with netCDF4.Dataset(sys.argv[1]) as nc:
            for name in ("named", "attribute"):
                assert_bound(models.travelling(), nc[name][:].filled(), 0.05, what=name)
        with h5py.File(sys.argv[1]) as f:
            for name in ("named", "attribute"):
                assert models.chunk_models(f[name]) == [models.digest(models.shifting_model())] * 2, name
    """, path, env=plugin_env)


def test_netcdf_files_stay_writable_for_netcdf(tmp_path):
    """The library opens no file for writing in which a group forgets the order of its links."""
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("t", 4)
        nc.createVariable("x", "f4", ("t",))[:] = 1
        nc.createGroup("g").createVariable("y", "f4", ("t",))[:] = 1
    assert h5augur.embed_model(path, MODEL, dataset=["x", "g/y"]) == PATH
    with netCDF4.Dataset(path, "a") as nc:
        assert nc["x"].augur_model == nc["g/y"].augur_model == PATH
        nc["x"][2] = 5
        assert h5augur.embed_model(nc, MODEL) == PATH
        other = models.shifting_model("z" * 9000, (1, 2))
        assert h5augur.embed_model(nc["g"], other, dataset="x").endswith(models.digest(other))
        h5augur.embed_model(nc, other, dataset=[nc["g/y"]])
        assert nc["g/y"].augur_model == nc["x"].augur_model != PATH
        with pytest.raises(KeyError, match="no variable 'z'"):
            h5augur.embed_model(nc, MODEL, dataset="z")
    with h5py.File(path) as f:
        assert f["x"][2] == 5
        assert {f[f"/_augur/models/{models.digest(m)}"][...].tobytes() for m in (MODEL, other)} == {MODEL, other}
    with netCDF4.Dataset(tmp_path / "c.nc", "w", format="NETCDF4_CLASSIC") as nc:
        with pytest.raises(ValueError, match="NETCDF4_CLASSIC"):
            h5augur.embed_model(nc, MODEL)
    assert h5augur.embed_model(tmp_path / "c.nc", MODEL) == PATH


def test_xarray_writes_with_a_model_and_it_is_embedded_afterwards(run_python, clean_env, model_file, tmp_path, plugin_env):
    path = tmp_path / "x.nc"
    run_python("""
        import h5augur, models, sys, xarray as xr
        ds = xr.Dataset({"u": (("time", "y", "x"), models.travelling())})
        how = h5augur.Augur(absolute=0.05, model=sys.argv[2], strict=True)
        ds.to_netcdf(sys.argv[1], engine="h5netcdf", encoding={"u": {"chunksizes": (16, 60, 61), **how.encoding()}})
        h5augur.embed_model(sys.argv[1], sys.argv[2], dataset="u")
    """, path, model_file, env={**clean_env, "AUGUR_MODEL_PATH": str(model_file.parent)})
    model_file.unlink()
    run_python("""
        import models, sys, xarray as xr
        from augur_testing import assert_bound
        with xr.open_dataset(sys.argv[1], engine="h5netcdf") as ds:
            assert_bound(models.travelling(), ds["u"].values, 0.05)
        with xr.open_dataset(sys.argv[1], engine="netcdf4") as ds:
            assert ds["u"].augur_model.endswith(models.digest(models.shifting_model()))
    """, path, env=plugin_env)


def test_the_example_shows_what_a_model_gains(repository, run_python, venv_python, clean_env, model_file, tmp_h5, tmp_path):
    with h5py.File(tmp_h5, "w") as f:
        f["g/u"] = models.travelling()
    done = subprocess.run(
        [venv_python, repository / "examples" / "h5py" / "learned.py", f"{tmp_h5}:/g/u", model_file, tmp_path / "o.h5",
         "--absolute", str(BOUND)],
        env=clean_env, capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^(\w+) +[\d,]+ bytes  ratio +([\d.]+)  largest error ([\d.e-]+)$", done.stdout, re.MULTILINE)
    assert [name for name, *_ in found] == ["balanced", "learned"]
    (plain, error), (learned, other) = [(float(ratio), float(error)) for _, ratio, error in found]
    assert learned > 1.4 * plain and max(error, other) <= BOUND


def test_the_command_and_python_agree(augur, model_file, tmp_h5, tmp_path):
    with h5py.File(tmp_h5, "w") as f:
        f["u"] = models.travelling()
    words = json.loads(augur("cd-values", "--absolute", BOUND, "--model", model_file, "--json"))["cd_values"]
    assert tuple(words) == Augur(absolute=BOUND, model=model_file).filter_options
    strict = json.loads(augur("cd-values", "--absolute", BOUND, "--model", "attribute", "--strict", "--json"))["cd_values"]
    assert tuple(strict) == Augur(absolute=BOUND, model=True, strict=True).filter_options
    augur("convert", tmp_h5, "small.h5", "--absolute", BOUND, "--model", model_file, "--verify")
    with h5py.File(tmp_path / "small.h5") as f:
        assert f["u"].attrs["augur_model"].decode() == PATH
        assert f[PATH][...].tobytes() == MODEL
        assert models.chunk_models(f["u"]) == [DIGEST] * len(models.chunk_models(f["u"]))
        assert_bound(models.travelling(), f["u"][...], BOUND)
    # A model that Python embedded is one for the command, and the other way round.
    with h5py.File(tmp_h5, "a") as f:
        h5augur.embed_model(f, models.shifting_model("w" * 9000))
    augur("models", "embed", model_file, tmp_h5, "-d", "u")
    assert h5augur.embed_model(tmp_h5, MODEL) == PATH
    listed = json.loads(augur("models", "list", tmp_h5, "--json"))["models"]
    assert sorted(m["sha256"] for m in listed) == sorted([DIGEST, models.digest(models.shifting_model("w" * 9000))])
    augur("models", "gc", tmp_h5)
    with h5py.File(tmp_h5) as f:
        assert list(f["/_augur/models"]) == [DIGEST]


def test_the_command_keeps_netcdf_files_writable(augur, model_file, tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as nc:
        for name, size in (("time", None), ("y", 60), ("x", 61)):
            nc.createDimension(name, size)
        nc.createVariable("u", "f4", ("time", "y", "x"))[:] = models.travelling()
    augur("convert", "a.nc", "b.nc", "--absolute", BOUND, "--model", model_file)
    augur("models", "embed", model_file, "a.nc", "-d", "u")
    for name in ("a.nc", "b.nc"):
        with netCDF4.Dataset(tmp_path / name, "a") as nc:
            assert nc["u"].augur_model == PATH
            nc["u"].note = "written"
            assert_bound(models.travelling(), nc["u"][:].filled(), BOUND)


def test_a_model_in_the_store_serves_every_program(augur, run_python, clean_env, model_file, tmp_h5, tmp_path):
    augur("models", "add", model_file)
    model_file.unlink()
    env = {**clean_env, "AUGUR_MODEL_STORE": str(tmp_path / "store")}
    run_python("""
        import h5augur, h5py, models, sys
        with h5py.File(sys.argv[1], "w") as f:
            how = h5augur.Augur(absolute=0.05, model=sys.argv[2], strict=True)
            f.create_dataset("u", data=models.travelling(), chunks=(16, 60, 61), **how)
            f["plain"] = models.travelling()
    """, tmp_h5, DIGEST, env=env)
    assert "store" in augur("inspect", tmp_h5, "--chunks")
    augur("models", "remove", DIGEST)
    missing = run_python("import h5augur, h5py, sys; h5py.File(sys.argv[1])['u'][...]", tmp_h5, env=env, check=False)
    assert missing.returncode != 0 and DIGEST in missing.stderr and str(tmp_path / "store") in missing.stderr
    assert "NOT FOUND" in augur("inspect", tmp_h5)
    h5augur.embed_model(tmp_h5, MODEL)
    run_python("import h5augur, h5py, sys; h5py.File(sys.argv[1])['u'][...]", tmp_h5)
