"""The Python package: what `Augur(...)` accepts and produces, and that importing it makes the plugin found."""

from __future__ import annotations

import os
import subprocess
from decimal import Decimal

import h5augur
import h5py
import hdf5plugin
import numpy as np
import pytest
from augur_testing import words
from h5augur import Augur

BOUNDS = [
    dict(absolute=1e-3),
    dict(relative=1e-4),
    dict(relative=1e-4, value_range=80.0),
    dict(absolute=0.5, relative=1e-2),
    dict(pointwise_relative=1e-2),
    dict(pointwise_relative=1e-2, floor=1e-6),
    dict(psnr=60.0),
    dict(lossless=True),
    dict(absolute=1e-3, preset="fast"),
    dict(absolute=1e-3, time_axis=2),
    dict(relative=1e-3, fill_value=-9999.0),
    dict(absolute=1e-3, preset="tezip"),
    dict(absolute=1e-3, preset="tezip+"),
    dict(relative=0.1, preset="tezip", window=8),
    dict(relative=0.1, preset="tezip", threshold=2.0**-5.75, warm_up=2),
    dict(relative=0.1, preset="tezip", threshold=1.0, open_loop=True),
    dict(absolute=0.5, relative=1e-2, preset="tezip", window=127, warm_up=7, open_loop=True),
    dict(absolute=1e-3, preset="ae-sz"),
    dict(absolute=1e-3, preset="ae-sz+"),
    dict(relative=1e-3, preset="cae", selection="distance"),
    dict(pointwise_relative=1e-2, preset="ae-sz", selection="distance"),
]


def padded(options):
    return tuple(options) + (0,) * (10 - len(options))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (dict(absolute=1e-3), words("absolute", 1e-3)),
        (dict(relative=1e-4), words("relative", 1e-4)),
        (dict(relative=1e-4, value_range=80), words("relative", 1e-4, 80)),
        (dict(absolute=0.5, relative=1e-2), words("absrel", 0.5, 1e-2)),
        (dict(pointwise_relative=1e-2, floor=1e-6), words("pointwise_relative", 1e-2, 1e-6)),
        (dict(psnr=60), words("psnr", 60)),
        (dict(lossless=True), words("lossless")),
        (dict(preset="lossless"), words("lossless", preset="lossless")),
        (dict(absolute=2, preset="fast", time_axis=3), words("absolute", 2, preset="fast", time_axis=3)),
        (dict(psnr=60, preset="tezip"), words("psnr", 60, preset="tezip")),
        (dict(absolute=2, preset="tezip+"), words("absolute", 2, preset="tezip+")),
        (dict(absolute=2, preset="tezip", window=2), words("absolute", 2, preset="tezip", keys=2)),
        (dict(absolute=2, preset="tezip", window=np.int8(127)), words("absolute", 2, preset="tezip", keys=127)),
        (dict(absolute=2, preset="tezip", threshold=1), words("absolute", 2, preset="tezip", keys=128)),
        (dict(absolute=2, preset="tezip", threshold=0.02), words("absolute", 2, preset="tezip", keys=128 + 23)),
        (dict(absolute=2, preset="tezip", threshold=2**-31), words("absolute", 2, preset="tezip", keys=252)),
        (dict(absolute=2, preset="tezip", warm_up=7, time_axis=15), words("absolute", 2, preset="tezip", warm_up=7, time_axis=15)),
        (dict(absolute=2, preset="tezip", open_loop=True), words("absolute", 2, preset="tezip", open_loop=True)),
        (dict(absolute=2, preset="ae-sz"), words("absolute", 2, preset="ae-sz")),
        (dict(absolute=2, preset="ae-sz", selection="length"), words("absolute", 2, preset="ae-sz")),
        (dict(absolute=2, preset="ae-sz", selection="distance"), words("absolute", 2, preset="ae-sz", by_distance=True)),
        (dict(psnr=60, preset="ae-sz+", time_axis=1), words("psnr", 60, preset="ae-sz+", time_axis=1)),
        (dict(absolute=2, preset="cae", selection="distance"), words("absolute", 2, preset="cae", by_distance=True)),
    ],
)
def test_options_are_the_documented_cd_values(arguments, expected):
    options = Augur(**arguments).filter_options
    assert padded(options) == padded(expected)
    assert len(options) <= 10


def test_fill_value_is_flagged_and_stored_as_a_double():
    options = Augur(absolute=1e-3, fill_value=-9999).filter_options
    assert options[0] == 1 | 1 << 17
    assert np.array(options[4:6], "<u4").view("<f8")[0] == -9999.0


def test_every_window_and_threshold_survives():
    for window in range(2, 128):
        augur = Augur(absolute=1, preset="tezip", window=window)
        assert Augur.from_filter_options(augur.filter_options).get_config()["window"] == window
    for k in range(125):
        for factor in (1, 1.08, 1 / 1.08):  # nearer than half a quarter, 2^(1/8) = 1.09
            threshold = min(max(2.0 ** (-k / 4) * factor, 2.0**-31), 1.0)
            augur = Augur(absolute=1, preset="tezip", threshold=threshold)
            assert augur.filter_options[1] >> 24 == 128 + k, threshold
            assert augur.get_config()["threshold"] == 2.0 ** (-k / 4)
            assert Augur.from_filter_options(augur.filter_options) == augur


@pytest.mark.parametrize("preset", ["learned", "tezip", "tezip+", "ae-sz", "ae-sz+", "cae"])
def test_presets_with_models_take_them(preset):
    digest = "ab" * 32
    augur = Augur(absolute=1, preset=preset, model=f"sha256:{digest}", strict=True)
    assert augur.filter_options == tuple(np.add(words("absolute", 1, preset=preset, model=bytes.fromhex(digest)), (1 << 26, *[0] * 9)))
    assert augur.get_config()["model"] == f"sha256:{digest}"
    back = Augur.from_filter_options(augur.filter_options)
    assert back == augur and back.get_config().get("preset", "learned") == preset
    assert Augur(absolute=1, preset=preset, model=True).filter_options == Augur(absolute=1, preset=preset).filter_options


@pytest.mark.parametrize("arguments", BOUNDS, ids=repr)
def test_repr_mapping_hash_and_round_trip(arguments):
    augur = Augur(**arguments)
    assert eval(repr(augur), {"Augur": Augur}) == augur
    assert Augur(**augur.get_config()) == augur
    assert Augur.from_filter_options(augur.filter_options) == augur
    assert Augur._from_filter_options(list(augur.filter_options)).get_config() == augur.get_config()
    assert h5augur.from_filter_options("augur", augur.filter_options) == augur
    assert hash(augur) == hash(Augur(**arguments))
    assert dict(augur) == dict(**augur) == {"compression": 49493, "compression_opts": augur.filter_options}
    assert augur.encoding() == dict(augur)
    assert augur != Augur(absolute=77.0)


def test_numbers_of_other_types_are_taken():
    expected = Augur(absolute=0.5)
    for value in (np.float32(0.5), np.float64(0.5), np.array(0.5), Decimal("0.5")):
        assert Augur(absolute=value) == expected
    assert Augur(absolute=np.int16(3)) == Augur(absolute=3.0)
    assert Augur(0.5) == expected


@pytest.mark.parametrize("name", ["absolute", "relative", "pointwise_relative", "psnr"])
@pytest.mark.parametrize("value", [0, -1, -1e-300, float("nan"), float("inf"), -float("inf"), 10**400])
def test_bounds_that_cannot_be_kept_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        Augur(**{name: value})


@pytest.mark.parametrize("name", ["absolute", "relative", "pointwise_relative", "psnr"])
@pytest.mark.parametrize("value", ["1e-3", b"1", True, 1j, [1e-3, 1e-4], np.ones(3), object()], ids=repr)
def test_bounds_that_are_no_numbers_are_refused(name, value):
    with pytest.raises(TypeError, match=name):
        Augur(**{name: value})


@pytest.mark.parametrize(
    ("error", "arguments", "says"),
    [
        (TypeError, {}, "absolute=.*lossless=True"),
        (TypeError, dict(absolute=1, psnr=60), "absolute and psnr"),
        (TypeError, dict(relative=1e-3, pointwise_relative=1e-3), "relative and pointwise_relative"),
        (TypeError, dict(absolute=1, lossless=True), "absolute and lossless"),
        (TypeError, dict(absolute=1, relative=1e-3, psnr=60), "absolute and relative and psnr"),
        (TypeError, dict(absolute=1, value_range=3), "value_range"),
        (TypeError, dict(relative=1, floor=3), "floor"),
        (TypeError, dict(absolute=1, unknown=3), "unknown"),
        (TypeError, dict(lossless="yes"), "lossless"),
        (TypeError, dict(absolute=1, preset=3), "balanced, fast, lossless, learned"),
        (TypeError, dict(absolute=1, time_axis=0.5), "time_axis"),
        (TypeError, dict(absolute=1, fill_value="x"), "fill_value"),
        (ValueError, dict(absolute=1, preset="best"), "'best'.*balanced, fast, lossless.*ae-sz, ae-sz\\+, cae"),
        (ValueError, dict(absolute=1, time_axis=-1), "time_axis"),
        (ValueError, dict(absolute=1, time_axis=16), "time_axis"),
        (ValueError, dict(relative=1, value_range=0), "value_range"),
        (ValueError, dict(relative=1, value_range=float("inf")), "value_range"),
        (ValueError, dict(pointwise_relative=1), "below 1"),
        (ValueError, dict(pointwise_relative=0.1, floor=-1), "floor"),
        (ValueError, dict(pointwise_relative=0.1, floor=float("nan")), "floor"),
        (ValueError, dict(psnr=0.5), "between 1 and 1000"),
        (ValueError, dict(psnr=1001), "between 1 and 1000"),
        (ValueError, dict(absolute=1, relative=1, fill_value=3), "fill_value= and relative="),
        (ValueError, dict(relative=1, value_range=1, fill_value=3), "fill_value= and value_range="),
        (ValueError, dict(absolute=1, preset="fast", model="sha256:" + "0" * 63 + "1"), "learned, tezip, tezip\\+, ae-sz, ae-sz\\+, cae"),
        (TypeError, dict(absolute=1, window=8), "window= goes with preset=.tezip., not with 'balanced'"),
        (TypeError, dict(absolute=1, preset="tezip+", window=8), "window= goes with"),
        (TypeError, dict(absolute=1, preset="learned", threshold=0.1), "threshold= goes with"),
        (TypeError, dict(absolute=1, preset="fast", warm_up=1), "warm_up= goes with"),
        (TypeError, dict(absolute=1, preset="tezip+", open_loop=True), "open_loop= goes with"),
        (TypeError, dict(absolute=1, preset="tezip", window=8, threshold=0.1), "give one of them"),
        (TypeError, dict(absolute=1, preset="tezip", window=8.0), "window must be an integer"),
        (TypeError, dict(absolute=1, preset="tezip", window=np.array([8, 8])), "window must be an integer"),
        (TypeError, dict(absolute=1, preset="tezip", threshold="x"), "threshold must be a number"),
        (TypeError, dict(absolute=1, preset="tezip", warm_up=True), "warm_up must be an integer"),
        (TypeError, dict(absolute=1, preset="tezip", open_loop=2), "open_loop must be True or False"),
        (ValueError, dict(absolute=1, preset="tezip", window=0), "window is 0, it must lie between 2 and 127"),
        (ValueError, dict(absolute=1, preset="tezip", window=1), "between 2 and 127"),
        (ValueError, dict(absolute=1, preset="tezip", window=128), "between 2 and 127"),
        (ValueError, dict(absolute=1, preset="tezip", threshold=0), "threshold is 0.0"),
        (ValueError, dict(absolute=1, preset="tezip", threshold=1.01), "threshold is 1.01"),
        (ValueError, dict(absolute=1, preset="tezip", threshold=2.0**-31.01), "threshold is 4"),
        (ValueError, dict(absolute=1, preset="tezip", threshold=float("nan")), "threshold is nan"),
        (ValueError, dict(absolute=1, preset="tezip", warm_up=8), "warm_up is 8, it must lie between 0 and 7"),
        (ValueError, dict(absolute=1, preset="tezip", warm_up=-1), "warm_up is -1"),
        (TypeError, dict(absolute=1, preset="ae-sz", window=8), "window= goes with preset=.tezip., not with 'ae-sz'"),
        (TypeError, dict(absolute=1, preset="cae", open_loop=True), "open_loop= goes with"),
        (TypeError, dict(absolute=1, selection="distance"), "selection= goes with the presets ae-sz and cae, not with 'balanced'"),
        (TypeError, dict(absolute=1, preset="ae-sz+", selection="distance"), "selection= goes with"),
        (TypeError, dict(absolute=1, preset="ae-sz", selection=True), "selection must be"),
        (ValueError, dict(absolute=1, preset="ae-sz", selection="size"), "selection is 'size'"),
    ],
    ids=lambda v: repr(v) if isinstance(v, dict) else "",
)
def test_wrong_arguments_say_what_is_wrong(error, arguments, says):
    with pytest.raises(error, match=says):
        Augur(**arguments)


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (NotImplementedError, (2,)),
        (NotImplementedError, (0, 1)),
        (ValueError, (1 | 200 << 8,)),
        (ValueError, (1, 99)),
        (ValueError, (1, 1, 0, 0)),  # an absolute bound of 0
        (ValueError, (1,) * 17),
        (ValueError, (1, 8 << 24)),  # key frames with the preset balanced
        (ValueError, (1 | 5 << 8 | 1 << 27,)),  # a warm-up with tezip+
        (ValueError, (1 | 3 << 8 | 1 << 30,)),  # an open loop with learned
        (ValueError, (1 | 4 << 8, 1 << 24)),  # a key frame every step
        (ValueError, (1 | 4 << 8, 253 << 24)),  # a threshold below 2^-31
        (ValueError, (1 | 9 << 8,)),  # a preset of the future
        (ValueError, (1 | 7 << 8 | 1 << 30,)),  # selection by distance with ae-sz+
        (ValueError, (1 | 6 << 8, 8 << 24)),  # key frames with ae-sz
    ],
)
def test_options_that_no_augur_made_are_refused(error, options):
    with pytest.raises(error):
        Augur.from_filter_options(options)


def test_other_filters_are_not_taken_for_augur():
    with pytest.raises(ValueError, match="49493"):
        h5augur.from_filter_options(hdf5plugin.SZ3_ID, ())


@pytest.mark.parametrize("arguments", BOUNDS, ids=repr)
def test_a_dataset_tells_how_it_was_made(arguments, tmp_h5):
    with h5py.File(tmp_h5, "w") as f:
        f.create_dataset("x", shape=(20, 8, 9), dtype="f4", chunks=(5, 8, 9), **Augur(**arguments))
    with h5py.File(tmp_h5) as f:
        number, _, options, name = f["x"].id.get_create_plist().get_filter(0)
    assert number == h5augur.FILTER_ID and b"augur" in name.lower()
    assert len(options) == 16
    assert h5augur.from_filter_options(number, options) == Augur(**arguments)


def test_conventions_are_those_of_hdf5plugin():
    """What code written for hdf5plugin's classes relies on."""
    theirs, ours = hdf5plugin.SZ3(absolute=1e-3), Augur(absolute=1e-3)
    for thing in (theirs, ours):
        assert isinstance(thing, h5py.filters.FilterRefBase)
        assert isinstance(thing.filter_id, int) and isinstance(thing.filter_name, str)
        assert all(type(v) is int and 0 <= v < 2**32 for v in thing.filter_options)
        assert sorted(thing) == ["compression", "compression_opts"] and len(thing) == 2
        assert thing.get_config()["absolute"] == 1e-3
        assert repr(thing) == f"{type(thing).__name__}(absolute=0.001)"
        assert thing == type(thing)(absolute=1e-3) and len({thing, type(thing)(absolute=1e-3)}) == 1
    assert theirs != ours
    for module, name in ((hdf5plugin, "sz3"), (h5augur, "augur")):
        assert os.path.isdir(module.PLUGIN_PATH)
        assert module.FILTERS[name] == {"sz3": 32024, "augur": 49493}[name]
        assert isinstance(module.version, str)


SIDE_BY_SIDE = """
    import sys
    for name in sys.argv[1].split(","):
        __import__(name)
    import h5augur, hdf5plugin, h5py, numpy as np
    from augur_testing import assert_bound, field
    before = hdf5plugin.get_config().registered_filters
    a = field((32, 40, 50))
    with h5py.File(sys.argv[2], "w") as f:
        f.create_dataset("augur", data=a, chunks=(16, 40, 50), **h5augur.Augur(absolute=1e-3))
        f.create_dataset("augur2", data=a, chunks=(16, 40, 50), compression=h5augur.Augur(relative=1e-3))
        f.create_dataset("sz3", data=a, chunks=(16, 40, 50), **hdf5plugin.SZ3(absolute=1e-3))
        f.create_dataset("zstd", data=a, chunks=(16, 40, 50), **hdf5plugin.Zstd())
    with h5py.File(sys.argv[2]) as f:
        assert_bound(a, f["augur"][...], 1e-3)
        assert_bound(a, f["augur2"][...], 1e-3 * float(np.ptp(a.astype("f8"))))
        assert abs(f["sz3"][...] - a).max() < 1.01e-3
        assert np.array_equal(f["zstd"][...], a)
    assert hdf5plugin.register()
    assert set(before) == set(hdf5plugin.get_config().registered_filters)
    with h5py.File(sys.argv[2]) as f:
        assert_bound(a, f["augur"][...], 1e-3)
    assert h5augur.register()
"""


@pytest.mark.parametrize("order", ["h5augur,hdf5plugin", "hdf5plugin,h5augur", "h5py,hdf5plugin,h5augur", "netCDF4,h5augur,hdf5plugin"])
def test_hdf5plugin_and_augur_share_a_process_and_a_file(run_python, tmp_h5, order):
    run_python(SIDE_BY_SIDE, order, tmp_h5)


def test_package_works_without_h5py(run_python):
    done = run_python("""
        import sys
        sys.modules["h5py"] = None  # makes `import h5py` fail
        import h5augur, collections.abc
        a = h5augur.Augur(absolute=1e-3)
        assert isinstance(a, collections.abc.Mapping) and dict(a)["compression"] == 49493
        assert a == h5augur.Augur(absolute=1e-3) != h5augur.Augur(absolute=1) and hash(a)
        print(a)
    """)
    assert done.stdout == "Augur(absolute=0.001)\n"
    assert done.stderr == ""


def test_module_prints_the_plugin_path(venv_python, clean_env):
    out = subprocess.run([venv_python, "-m", "h5augur"], capture_output=True, text=True, env=clean_env, check=True)
    assert out.stdout.strip() == h5augur.PLUGIN_PATH
    assert any(name.startswith(("libh5z_augur", "h5z_augur")) for name in os.listdir(h5augur.PLUGIN_PATH))
    out = subprocess.run([venv_python, "-m", "h5augur", "--version"], capture_output=True, text=True, env=clean_env, check=True)
    assert out.stdout.strip() == f"h5augur {h5augur.version}"


FOUND = """
    import sys
    first = sys.argv[1].split(",")
    for name in first:
        __import__(name)
    import os
    import h5augur
    paths = os.environ["HDF5_PLUGIN_PATH"].split(os.pathsep)
    assert paths.count(h5augur.PLUGIN_PATH) == 1 and paths[0] == h5augur.PLUGIN_PATH, paths
    import h5py, netCDF4
    assert h5py.h5z.filter_avail(h5augur.FILTER_ID)
    assert h5augur.register() and h5augur.register()
    assert os.environ["HDF5_PLUGIN_PATH"].split(os.pathsep) == paths
    print(*paths, sep=os.linesep)
"""


@pytest.mark.parametrize("first", ["h5augur", "h5py", "netCDF4", "h5py,netCDF4", "netCDF4,h5py", "numpy"])
def test_plugin_is_found_whatever_was_imported_first(run_python, first):
    done = run_python(FOUND, first)
    assert done.stderr == ""


def test_other_plugins_stay_found(run_python, clean_env, tmp_path):
    (tmp_path / "mine").mkdir()
    done = run_python(FOUND, "h5augur", env={**clean_env, "HDF5_PLUGIN_PATH": str(tmp_path / "mine")})
    assert done.stdout.splitlines()[1:] == [str(tmp_path / "mine")]
    # netCDF4's wheel puts its own plugins on the path only if the variable is not set: so h5augur does it.
    done = run_python(FOUND, "h5augur")
    assert any("netCDF4" in path for path in done.stdout.splitlines())
    run_python("""
        import h5augur, netCDF4
        with netCDF4.Dataset("zstd.nc", "w") as nc:
            nc.createDimension("x", 1000)
            nc.createVariable("v", "f4", ("x",), compression="zstd")[:] = range(1000)
        with netCDF4.Dataset("zstd.nc") as nc:
            assert nc["v"].filters()["zstd"] and nc["v"][999] == 999
    """, cwd=tmp_path)


def test_child_processes_find_the_plugin(run_python, tmp_h5):
    run_python("""
        import subprocess, sys, h5augur, h5py
        from augur_testing import field
        with h5py.File(sys.argv[1], "w") as f:
            f.create_dataset("x", data=field((16, 10, 10)), chunks=(16, 10, 10), **h5augur.Augur(absolute=1e-3))
        child = "import h5py, sys; print(h5py.File(sys.argv[1])['x'][...].std() > 0.1)"
        assert subprocess.check_output([sys.executable, "-c", child, sys.argv[1]]).strip() == b"True"
    """, tmp_h5)


def test_import_is_quick(venv_python, clean_env):
    """Importing adds little to importing h5py: no search of the file system, no start-up of the plugin."""
    code = "import h5py, netCDF4, time; t = time.perf_counter(); import h5augur; print(time.perf_counter() - t)"
    seconds = min(
        float(subprocess.run([venv_python, "-c", code], capture_output=True, text=True, env=clean_env, check=True).stdout)
        for _ in range(3)
    )
    assert seconds < 0.2


def test_a_missing_plugin_file_is_reported(run_python, tmp_path):
    """A package whose plugin was removed imports, says so, and says where it looked."""
    import shutil

    package = os.path.dirname(h5augur.__file__)
    shutil.copytree(package, tmp_path / "h5augur", ignore=shutil.ignore_patterns("plugins", "__pycache__"))
    (tmp_path / "h5augur" / "plugins").mkdir()
    done = run_python("import sys; sys.path.insert(0, sys.argv[1]); import h5augur; print(h5augur.register())", tmp_path)
    assert done.stdout == "False\n"
    assert str(tmp_path / "h5augur" / "plugins") in done.stderr


