"""The plugin in the netCDF4 wheel, beside h5py in one process, and in xarray through h5netcdf."""

from __future__ import annotations

import pytest

MAKE = """
    import sys, h5py, h5netcdf, h5augur
    from augur_testing import field
    a = field((64, 18, 19))
    with h5netcdf.File(sys.argv[1], "w") as f:
        f.dimensions = {"time": None, "y": 18, "x": 19}
        f.resize_dimension("time", 20)
        v = f.create_variable("wind", ("time", "y", "x"), "f4", chunks=(16, 18, 19), fillvalue=-9999.0, **h5augur.Augur(absolute=1e-3))
        v[...] = a[:20]
        v.attrs["units"] = "m/s"
"""

READ_AND_APPEND = """
    import sys, netCDF4
    from augur_testing import assert_bound, field
    a = field((64, 18, 19))
    with netCDF4.Dataset(sys.argv[1], "a") as nc:
        v = nc["wind"]
        v.set_auto_mask(False)
        n = len(nc.dimensions["time"])
        assert v.units == "m/s" and v.chunking() == [16, 18, 19]
        assert_bound(a[:n], v[:], 1e-3)
        v[n:n + 7] = a[n:n + 7]
    with netCDF4.Dataset(sys.argv[1]) as nc:
        v = nc["wind"]
        v.set_auto_mask(False)
        assert_bound(a[:n + 7], v[:], 1e-3)
"""


def test_netcdf4_reads_and_appends_with_the_path_alone(run_python, plugin_env, tmp_h5):
    run_python(MAKE, tmp_h5)
    for _ in range(4):
        run_python(READ_AND_APPEND, tmp_h5, env=plugin_env)


def test_netcdf4_only_appends(run_python, clean_env, plugin_env, tmp_h5):
    """Nothing is read before the first write, so nothing but the filter's availability loads the plugin."""
    run_python(MAKE, tmp_h5)
    code = """
        import sys{}
        import netCDF4
        from augur_testing import field
        with netCDF4.Dataset(sys.argv[1], "a") as nc:
            n = len(nc.dimensions["time"])
            nc["wind"][n:n + 3] = field((64, 18, 19))[n:n + 3]
    """
    run_python(code.format(", h5augur"), tmp_h5)
    run_python(code.format(""), tmp_h5, env=plugin_env)
    run_python("""
        import sys, h5augur, h5py
        from augur_testing import assert_bound, field
        with h5py.File(sys.argv[1]) as f:
            d = f["wind"]
            assert_bound(field((64, 18, 19))[:26], d[...], 1e-3)
            assert all(d.id.get_chunk_info(i).filter_mask == 0 for i in range(d.id.get_num_chunks()))
    """, tmp_h5)


@pytest.mark.parametrize("first", ["h5py", "netCDF4"])
@pytest.mark.parametrize("path_alone", [True, False])
def test_both_libraries_in_one_process(run_python, clean_env, plugin_env, tmp_h5, first, path_alone):
    """Two copies of libhdf5 share the one plugin; each writes and reads through its own."""
    run_python(f"""
        import sys
        import {first}
        import h5py, netCDF4
        if {not path_alone}:
            import h5augur
        import h5netcdf, numpy as np
        from augur_testing import FILTER_ID, assert_bound, field, words
        a = field((64, 18, 19))
        with h5netcdf.File(sys.argv[1], "w") as f:
            f.dimensions = {{"time": None, "y": 18, "x": 19}}
            f.create_variable("wind", ("time", "y", "x"), "f4", chunks=(16, 18, 19), compression=FILTER_ID, compression_opts=words("absolute", 1e-3))
        for start in range(0, 60, 10):
            if start % 20:
                with h5py.File(sys.argv[1], "r+", rdcc_nbytes=0) as f:
                    d = f["wind"]
                    d.resize(start + 10, axis=0)
                    assert_bound(a[:start], d[:start], 1e-3, what=f"h5py at {{start}}")
                    d[start:start + 10] = a[start:start + 10]
            else:
                with netCDF4.Dataset(sys.argv[1], "a") as nc:
                    v = nc["wind"]
                    v.set_auto_mask(False)
                    if start:
                        assert_bound(a[:start], v[:], 1e-3, what=f"netCDF4 at {{start}}")
                    v[start:start + 10] = a[start:start + 10]
        with h5py.File(sys.argv[1]) as f, netCDF4.Dataset(sys.argv[1]) as nc:
            nc["wind"].set_auto_mask(False)
            assert_bound(a[:60], f["wind"][...], 1e-3)
            assert_bound(a[:60], nc["wind"][:], 1e-3)
            assert [f["wind"].id.get_chunk_info(i).filter_mask for i in range(4)] == [0] * 4
    """, tmp_h5, env=plugin_env if path_alone else clean_env)


@pytest.mark.parametrize("path_alone", [True, False])
def test_netcdf4_creates_compressed_variables(run_python, clean_env, plugin_env, tmp_h5, path_alone):
    run_python("""
        import sys, netCDF4
        import h5augur
        from augur_testing import assert_bound, field
        a = field((40, 18, 19), "f8")
        with netCDF4.Dataset(sys.argv[1], "w") as nc:
            for name, n in (("time", None), ("y", 18), ("x", 19)):
                nc.createDimension(name, n)
            group = nc.createGroup("deeper")
            for g in (nc, group):
                v = g.createVariable("wind", "f8", ("time", "y", "x"), chunksizes=(16, 18, 19), fill_value=1e20)
                h5augur.compress_variable(v, h5augur.Augur(absolute=1e-3))
                v[:] = a
            plain = nc.createVariable("plain", "f8", ("y",), contiguous=True)
            for wrong, says in ((plain, "chunksizes"), (group["wind"], "nothing written")):
                try:
                    h5augur.compress_variable(wrong, h5augur.Augur(absolute=1e-3))
                except RuntimeError as error:
                    assert says in str(error), error
                else:
                    raise AssertionError(f"{wrong.name} was taken")
            for arguments in ((a, h5augur.Augur(absolute=1)), (plain, {"compression": 1})):
                try:
                    h5augur.compress_variable(*arguments)
                except TypeError:
                    continue
                raise AssertionError(f"{arguments} were taken")
    """, tmp_h5)
    run_python("""
        import sys, netCDF4
        {}
        from augur_testing import assert_bound, field
        a = field((40, 18, 19), "f8")
        with netCDF4.Dataset(sys.argv[1]) as nc:
            nc.set_auto_mask(False)
            assert_bound(a, nc["wind"][:], 1e-3)
            assert_bound(a, nc["deeper/wind"][:], 1e-3)
    """.format("" if path_alone else "import h5augur"), tmp_h5, env=plugin_env if path_alone else clean_env)
    run_python("""
        import sys, h5augur, h5py
        with h5py.File(sys.argv[1]) as f:
            number, flags, options, name = f["deeper/wind"].id.get_create_plist().get_filter(0)
            assert h5augur.from_filter_options(number, options) == h5augur.Augur(absolute=1e-3)
    """, tmp_h5)


def test_xarray_writes_through_h5netcdf_and_reads_with_both_engines(run_python, plugin_env, tmp_h5):
    run_python("""
        import sys, h5augur, numpy as np, xarray as xr
        from augur_testing import assert_bound, field
        a = field((40, 18, 19))
        a[3, 4, 5] = np.nan
        ds = xr.Dataset({"wind": (("time", "y", "x"), a, {"units": "m/s"}), "level": (("time", "y", "x"), a.astype("f8"))},
                        coords={"time": np.arange(40.0)})
        ds.to_netcdf(sys.argv[1], engine="h5netcdf", unlimited_dims=["time"], encoding={
            "wind": {"chunksizes": (16, 18, 19), **h5augur.Augur(absolute=1e-3).encoding()},
            "level": {"chunksizes": (8, 18, 19), **h5augur.Augur(relative=1e-3, value_range=3)},
        })
    """, tmp_h5)
    for engine in ("h5netcdf", "netcdf4"):
        run_python("""
            import sys, numpy as np, xarray as xr
            from augur_testing import assert_bound, field
            a = field((40, 18, 19))
            a[3, 4, 5] = np.nan
            with xr.open_dataset(sys.argv[1], engine=sys.argv[2]) as ds:
                b = ds["wind"].values
                assert np.isnan(b[3, 4, 5]) and np.isnan(b).sum() == 1
                a[3, 4, 5] = b[3, 4, 5] = 0
                assert_bound(a, b, 1e-3)
                c = ds["level"].values
                c[3, 4, 5] = 0
                assert_bound(a.astype("f8"), c, 3e-3)
                assert ds["wind"].attrs["units"] == "m/s"
                assert (ds["time"].values == np.arange(40)).all()
        """, tmp_h5, engine, env=plugin_env)
