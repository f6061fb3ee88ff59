"""The augur command beside the real programs: files that it makes are read by h5py, netCDF4, xarray and
ncdump, and what it prints is taken by h5repack and nccopy.

Needs `augur` on PATH and the plugin of the Python package h5augur.
"""
import json
import os
import shlex
import shutil
import subprocess

import h5py
import netCDF4
import numpy as np
import pytest

import h5augur

ENV = {**os.environ, "HDF5_PLUGIN_PATH": str(h5augur.PLUGIN_PATH)}
BARE = {k: v for k, v in os.environ.items() if not k.startswith("HDF5_PLUGIN")}


def run(*arguments, env=BARE, status=0, cwd=None):
    done = subprocess.run([str(a) for a in arguments], env=env, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def wave(shape=(40, 60, 70)):
    t, y, x = np.ogrid[tuple(slice(n) for n in shape)]
    noise = np.random.default_rng(1).standard_normal(shape)
    return (np.sin(0.1 * t + 0.05 * x) * np.cos(0.04 * y) + 0.01 * noise).astype("f4")


@pytest.fixture
def winds(tmp_path):
    """A netCDF-4 file with dimensions, groups, user types, packed and missing values."""
    path = tmp_path / "winds.nc"
    u = wave()
    u[3, 4, 5] = 1e20
    u[0, 0, :] = np.nan
    with netCDF4.Dataset(path, "w") as f:
        f.title = "winds"
        for name, n in (("time", None), ("y", 60), ("x", 70)):
            f.createDimension(name, n)
            v = f.createVariable(name, "f8", (name,))
            v.units = "m"
            v[:] = np.arange(n or 40)
        v = f.createVariable("u", "f4", ("time", "y", "x"), zlib=True, fill_value=1e20)
        v.zulu, v.alpha = "last", "first"
        v[:] = u
        v = f.createVariable("across", "f8", ("y", "time", "x"))
        v[:] = np.moveaxis(wave(), 0, 1)
        v = f.createVariable("packed", "i2", ("time", "y", "x"), fill_value=-32767)
        v.set_auto_maskandscale(False)
        v[:] = (1000 * wave()).astype("i2")
        group = f.createGroup("sub")
        point = group.createCompoundType(np.dtype([("p", "f4"), ("q", "i4")]), "point")
        group.createDimension("k", 4)
        group.createVariable("points", point, ("k",))[:] = np.ones(4, point.dtype)
        ragged = f.createVLType("i4", "ragged_type")
        f.createVariable("ragged", ragged, ("y",))[3] = np.arange(5, dtype="i4")
        f.createVariable("names", str, ("y",))[59] = "last"
    return path


def test_a_netcdf_file_keeps_everything_but_chunks_and_filters(winds):
    out = winds.with_name("small.nc")
    run("augur", "convert", winds, out, "--relative", "1e-3", "--verify")
    left, right = (
        [l for l in run("ncdump", "-hs", f, env=ENV).splitlines()[1:]
         if not any(w in l for w in ("_ChunkSizes", "_Storage", "_Filter", "_Shuffle", "_DeflateLevel"))]
        for f in (winds, out)
    )
    assert left == right
    with netCDF4.Dataset(winds) as a, netCDF4.Dataset(out) as b:
        for f in (a, b):
            f.set_auto_mask(False)
        special = np.isnan(a["u"][:]) | (a["u"][:] == np.float32(1e20))
        np.testing.assert_array_equal(a["u"][:][special], b["u"][:][special])
        assert np.abs(a["u"][:] - b["u"][:])[~special].max() <= 1e-3 * 2.2
        assert a["ragged"][3].tolist() == b["ragged"][3].tolist()
        assert b["names"][59] == "last"
        assert (a["sub/points"][:] == b["sub/points"][:]).all()
        assert b["u"].get_dims()[0].isunlimited()


def test_the_unlimited_axis_is_time(winds):
    plan = json.loads(run("augur", "convert", winds, "x.nc", "--relative", "1e-3", "--dry-run", "--json"))
    words = {d["path"]: d["cd_values"] for d in plan["datasets"]}
    assert words["/u"][1] >> 20 & 15 == 0
    assert words["/across"][1] >> 20 & 15 == 1


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_xarray_finds_the_dimensions(winds, engine):
    xarray = pytest.importorskip("xarray")
    out = winds.with_name("small.nc")
    run("augur", "convert", winds, out, "--absolute", "1e-2")
    options = {"engine": engine, "drop_variables": ["ragged"]}  # xarray has no ragged arrays
    with xarray.open_dataset(winds, **options) as a, xarray.open_dataset(out, **options) as b:
        assert b["u"].dims == ("time", "y", "x") and list(b.coords) == list(a.coords)
        assert float(abs(a["u"] - b["u"]).max()) <= 1e-2
        assert bool((a["x"] == b["x"]).all())


def test_an_hdf5_file_keeps_references_scales_and_order(tmp_path):
    source, out = tmp_path / "rich.h5", tmp_path / "out.h5"
    with h5py.File(source, "w", track_order=True, userblock_size=1024) as f:
        u = f.create_dataset("u", data=wave(), chunks=(4, 30, 70), compression="gzip", track_order=True)
        group = f.create_group("group", track_order=True)
        for i in range(300):
            group[f"d{299 - i}"] = np.arange(3) + i
        for i in range(60):
            u.attrs[f"a{59 - i}"] = i
        f["e"] = np.arange(40.0)
        f["e"].make_scale("e")
        u.dims[0].attach_scale(f["e"])
        regions = f.create_dataset("regions", (2,), dtype=h5py.regionref_dtype)
        regions[0] = u.regionref[2:5, 1:7, 3]
        references = f.create_dataset("references", (3,), dtype=h5py.ref_dtype)
        references[0], references[2] = u.ref, group["d7"].ref
        f["kind"] = np.dtype([("a", "i4"), ("b", "f8")])
        f.create_dataset("points", (10,), dtype=f["kind"])
        f.create_dataset("words", (5,), dtype=h5py.string_dtype())[1] = "wörd"
        f["on"] = np.ones(20000, bool)
        f.create_dataset("lzf", data=np.arange(30000.0), chunks=(1000,), compression="lzf", fletcher32=True)
    with open(source, "r+b") as f:
        f.write(b"someone else's bytes")
    run("augur", "convert", source, out, "--absolute", "1e-3")
    run("augur", "convert", out, tmp_path / "again.h5", "--lossless")
    for copy in (out, tmp_path / "again.h5"):
        assert copy.read_bytes()[:20] == b"someone else's bytes"
        with h5py.File(source) as a, h5py.File(copy) as b:
            assert list(a) == list(b) and list(a["group"]) == list(b["group"])
            assert list(a["u"].attrs) == list(b["u"].attrs)
            assert np.abs(a["u"][()] - b["u"][()]).max() <= 1e-3
            assert b["u"].dims[0]["e"] == b["e"]
            assert b[b["references"][0]] == b["u"] and not b["references"][1]
            assert b[b["references"][2]] == b["group/d7"]
            region = b["regions"][0]
            assert b[region] == b["u"] and b[region][region].shape == (3, 6, 1)
            assert b["points"].id.get_type().committed() and b["points"].dtype == a["points"].dtype
            assert b["words"][1] == "wörd".encode() and b["on"].dtype == bool
            assert b["lzf"].compression == "lzf" and b["lzf"].fletcher32
            np.testing.assert_array_equal(a["lzf"][()], b["lzf"][()])


def test_missing_values_that_an_attribute_states_are_exact(tmp_path):
    source, out = tmp_path / "in.h5", tmp_path / "out.h5"
    data = wave()
    data[:, 10:20, 10:20] = 1e20
    with h5py.File(source, "w") as f:
        f["u"] = data
        f["u"].attrs["missing_value"] = np.float32(1e20)
    run("augur", "convert", source, out, "--relative", "1e-3", "--verify")
    with h5py.File(out) as f:
        back = f["u"][()]
        assert f["u"].id.get_storage_size() < data.nbytes / 4
    valid = data < 1e19
    assert (back[~valid] == np.float32(1e20)).all()
    assert np.abs(back - data)[valid].max() <= 1e-3 * np.ptp(data[valid])


def test_other_plugins_read_inputs_and_are_named_when_missing(tmp_path):
    hdf5plugin = pytest.importorskip("hdf5plugin")
    source, out = tmp_path / "zstd.h5", tmp_path / "out.h5"
    with h5py.File(source, "w") as f:
        f.create_dataset("u", data=wave(), chunks=(8, 60, 70), **hdf5plugin.Zstd())
    done = subprocess.run(["augur", "convert", source, out, "--absolute", "1e-3", "-d", "u"],
                          env=BARE, capture_output=True, text=True)
    assert done.returncode == 2 and "32015" in done.stderr and "HDF5_PLUGIN_PATH" in done.stderr
    run("augur", "convert", source, out, "--absolute", "1e-3", "--verify",
        env={**BARE, "HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH})
    with h5py.File(source) as a, h5py.File(out) as b:
        assert np.abs(a["u"][()] - b["u"][()]).max() <= 1e-3


@pytest.mark.parametrize("tool", ["h5repack", "nccopy"])
def test_printed_lines_work_as_they_are(tmp_path, tool):
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")
    source, out = tmp_path / "in.nc", tmp_path / "out.nc"
    with netCDF4.Dataset(source, "w") as f:
        for name, n in zip("tyx", (32, 60, 70)):
            f.createDimension(name, n)
        f.createVariable("u", "f4", tuple("tyx"), chunksizes=(16, 60, 70))[:] = wave((32, 60, 70))
    lines = json.loads(run("augur", "cd-values", "--absolute", "1e-3", "--name", "u", "--json"))["lines"]
    run(*(str(source) if w == "IN" else str(out) if w == "OUT" else w for w in shlex.split(lines[tool])), env=ENV)
    row = json.loads(run("augur", "verify", source, out, "--json"))["datasets"][0]
    assert row["holds"] and row["bound"]["parameters"][0] == 1e-3


def test_verify_judges_what_h5py_wrote(tmp_path):
    source, out = tmp_path / "in.h5", tmp_path / "out.h5"
    kinds = [">f4", "<f8", "<f2", "i1", "u1", ">i2", "<u2", "<i4", ">u4"]
    with h5py.File(source, "w") as a, h5py.File(out, "w") as b:
        for kind in kinds:
            data = (50 + 40 * wave()).astype(kind)
            a[kind] = data
            b.create_dataset(kind, data=data, chunks=(16, 60, 70), fletcher32=True, **h5augur.Augur(relative=0.02))
    rows = json.loads(run("augur", "verify", source, out, "--json"))["datasets"]
    assert len(rows) == len(kinds) and all(row["holds"] for row in rows), rows
    chunks = json.loads(run("augur", "inspect", out, "--chunks", "--json"))["datasets"]
    assert all("problem" not in c for d in chunks for c in d["chunks"]), "fletcher32 after Augur is understood"


def test_doctor_finds_what_is_wrong_and_what_helps(tmp_path):
    import sys

    report = subprocess.run(["augur", "doctor", "--python", sys.executable, "--json"],
                            env={**BARE, "HDF5_PLUGIN_PATH": str(tmp_path)}, capture_output=True, text=True)
    assert report.returncode == 1, report.stderr
    for host in json.loads(report.stdout)["hosts"]:
        assert not host["works"]
        assert host["searches"] == [{"directory": str(tmp_path), "has_plugin": False}], host
        assert str(tmp_path) in host["reason"]
        assert any(f.startswith("export HDF5_PLUGIN_PATH=") for f in host["fixes"]), host
        if "python" in host["host"]:
            assert any(f.startswith("import h5augur") for f in host["fixes"]), host
    hosts = json.loads(run("augur", "doctor", "--python", sys.executable, "--json", env=ENV))["hosts"]
    assert all(host["works"] for host in hosts), hosts
    versions = {h["host"].split()[0]: h["hdf5"] for h in hosts}
    assert versions["h5py"] == h5py.version.hdf5_version
    assert versions["netCDF4"] == netCDF4.__hdf5libversion__
