"""nccopy, ncgen and ncdump of the distribution's netCDF (4.9.0 in Debian 12) work through the plugin."""

from __future__ import annotations

import re

import numpy as np
import pytest
from debian import FILTER_ID, ROOT, files, largest_error, listed, need, run, waves  # noqa: F401

BOUND = 1e-3

WRITE = """
import sys, netCDF4, numpy
data = numpy.load(sys.argv[2])
with netCDF4.Dataset(sys.argv[1], "w", format=sys.argv[3]) as f:
    f.createDimension("time", None)
    f.createDimension("y", data.shape[1])
    f.createDimension("x", data.shape[2])
    v = f.createVariable("u", data.dtype, ("time", "y", "x"), fill_value=1e20)
    v.units = "m s-1"
    v[:] = data
"""


def netcdf(run_python, env, path, data, file_format="NETCDF4"):
    np.save(path.with_suffix(".npy"), data)
    run_python(WRITE, path, path.with_suffix(".npy"), file_format, env=env)
    return path


def with_gaps(data):
    """The data with a patch of netCDF missing values in every step."""
    data = data.copy()
    data[:, 5:20, 7:30] = 1e20
    return data


@pytest.mark.parametrize("file_format", ["NETCDF4", "NETCDF3_CLASSIC"])
def test_nccopy_compresses_within_the_bound(files, run_python, plugin_env, tmp_path, file_format):  # noqa: F811
    need("nccopy")
    data = with_gaps(waves())
    source = netcdf(run_python, plugin_env, tmp_path / "source.nc", data, file_format)
    target = tmp_path / "target.nc"
    run("nccopy", "-4", "-c", "time/16,y/48,x/64", "-F", f"u,{FILTER_ID},{listed(BOUND)}", source, target, env=plugin_env)
    stored = files.read(target)
    gaps = data == np.float32(1e20)
    np.testing.assert_array_equal(stored[gaps], data[gaps])
    assert largest_error(stored[~gaps], data[~gaps]) <= BOUND
    assert files.filters(target) == [FILTER_ID]
    assert files.stored(target) < data.nbytes


def test_nccopy_takes_the_filter_along_and_removes_it(files, run_python, plugin_env, clean_env, tmp_path):  # noqa: F811
    need("nccopy")
    source = netcdf(run_python, plugin_env, tmp_path / "source.nc", waves())
    first, second, plain = tmp_path / "first.nc", tmp_path / "second.nc", tmp_path / "plain.nc"
    run("nccopy", "-c", "time/16,y/48,x/64", "-F", f"u,{FILTER_ID},{listed(BOUND)}", source, first, env=plugin_env)
    run("nccopy", first, second, env=plugin_env)
    assert files.filters(second) == [FILTER_ID]
    assert largest_error(files.read(second), files.read(first)) <= BOUND
    run("nccopy", "-F", "none", first, plain, env=plugin_env)
    decoded = files.read(first)
    files.env = clean_env  # without the plugin
    np.testing.assert_array_equal(files.read(plain), decoded)


def test_ncdump_prints_filter_and_values(files, run_python, plugin_env, tmp_path):  # noqa: F811
    need("nccopy", "ncdump")
    source = netcdf(run_python, plugin_env, tmp_path / "source.nc", waves(18, 12, 16))
    target = tmp_path / "target.nc"
    run("nccopy", "-c", "time/16,y/12,x/16", "-F", f"u,{FILTER_ID},{listed(BOUND)}", source, target, env=plugin_env)
    assert f'u:_Filter = "{FILTER_ID},' in run("ncdump", "-s", "-h", target, env=plugin_env).stdout
    text = run("ncdump", "-v", "u", "-p", "9,17", target, env=plugin_env).stdout
    values = np.array(re.findall(r"[-\d.e]+", text.split("u =")[1].split(";")[0]), "f4").reshape(18, 12, 16)
    np.testing.assert_array_equal(values, files.read(target))


def test_ncgen_writes_a_cdl_file_with_a_filter(files, plugin_env, tmp_path):  # noqa: F811
    need("ncgen", "ncdump")
    data = waves(20, 10, 12)
    numbers = ",\n".join(", ".join(f"{v:.9g}" for v in row) for row in data.reshape(-1, 12))
    cdl = tmp_path / "waves.cdl"
    cdl.write_text(
        f"""netcdf waves {{
dimensions: time = UNLIMITED ; y = 10 ; x = 12 ;
variables:
    float u(time, y, x) ;
        u:_Storage = "chunked" ;
        u:_ChunkSizes = 16, 10, 12 ;
        u:_Filter = "{FILTER_ID},{listed(BOUND)}" ;
data:
 u = {numbers} ;
}}
"""
    )
    run("ncgen", "-4", "-o", tmp_path / "waves.nc", cdl, env=plugin_env)
    assert files.filters(tmp_path / "waves.nc") == [FILTER_ID]
    assert largest_error(files.read(tmp_path / "waves.nc"), data) <= BOUND
    assert f'u:_Filter = "{FILTER_ID},' in run("ncdump", "-s", "-h", tmp_path / "waves.nc", env=plugin_env).stdout


def test_ncgen_refuses_a_bad_bound(plugin_env, tmp_path):
    need("ncgen")
    cdl = tmp_path / "bad.cdl"
    cdl.write_text(
        f"""netcdf bad {{
dimensions: time = 20 ; x = 12 ;
variables:
    float u(time, x) ;
        u:_Storage = "chunked" ;
        u:_ChunkSizes = 16, 12 ;
        u:_Filter = "{FILTER_ID},{listed(-1.0)}" ;
}}
"""
    )
    done = run("ncgen", "-4", "-o", tmp_path / "bad.nc", cdl, env=plugin_env, check=False)
    assert done.returncode != 0
    assert "the absolute bound is -1, it must be finite and greater than 0" in done.stderr, done.stderr


PROGRAM = r"""
#include <netcdf.h>
#include <stdio.h>
#include <stdlib.h>
#include <hdf5.h>
#include "augur_h5.h"

static void ok(int status, const char *what)
{
    if (status != NC_NOERR) {
        fprintf(stderr, "%s: %s\n", what, nc_strerror(status));
        exit(1);
    }
}

int main(int argc, char **argv)
{
    enum { STEPS = 40, NY = 48, NX = 64 };
    static float data[STEPS][NY][NX];
    const size_t chunks[3] = { 16, NY, NX };
    augur_options_t options = augur_absolute(1e-3);
    unsigned words[AUGUR_H5_CD_VALUES];
    char text[512];
    int file, dims[3], u, step, y, x;

    if (argc != 2 || augur_cd_values(&options, words, text, sizeof text) < 0)
        return 2;
    for (step = 0; step < STEPS; step++)
        for (y = 0; y < NY; y++)
            for (x = 0; x < NX; x++)
                data[step][y][x] = (float)((step * x) % 97) * (float)y / 128.0f;
    ok(nc_create(argv[1], NC_NETCDF4, &file), "nc_create");
    ok(nc_def_dim(file, "time", NC_UNLIMITED, &dims[0]), "time");
    ok(nc_def_dim(file, "y", NY, &dims[1]), "y");
    ok(nc_def_dim(file, "x", NX, &dims[2]), "x");
    ok(nc_def_var(file, "u", NC_FLOAT, 3, dims, &u), "u");
    ok(nc_def_var_chunking(file, u, NC_CHUNKED, chunks), "chunking");
    ok(nc_def_var_filter(file, u, (unsigned)AUGUR_H5_FILTER_ID, AUGUR_H5_CD_VALUES, words), "filter");
    ok(nc_enddef(file), "nc_enddef");
    for (step = 0; step < STEPS; step++) {
        const size_t start[3] = { (size_t)step, 0, 0 }, count[3] = { 1, NY, NX };
        ok(nc_put_vara_float(file, u, start, count, &data[step][0][0]), "writing");
        ok(nc_sync(file), "nc_sync");
    }
    ok(nc_close(file), "nc_close");
    return 0;
}
"""


def test_a_c_program_writes_through_netcdf(files, plugin_env, tmp_path):  # noqa: F811
    need("cc", "nc-config", "pkg-config")
    (tmp_path / "program.c").write_text(PROGRAM)
    flags = run("pkg-config", "--cflags", "--libs", "netcdf", "hdf5-serial", env=plugin_env).stdout.split()
    include = ROOT / "h5-plugin" / "include"
    run("cc", "-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{include}", tmp_path / "program.c", "-o", tmp_path / "program",
        *flags, "-lhdf5", env=plugin_env)
    run(tmp_path / "program", tmp_path / "u.nc", env=plugin_env)
    t, y, x = np.ogrid[0:40, 0:48, 0:64]
    data = ((t * x % 97).astype("f4") * y.astype("f4") / np.float32(128)).astype("f4")
    assert largest_error(files.read(tmp_path / "u.nc"), data) <= BOUND
    assert files.filters(tmp_path / "u.nc") == [FILTER_ID]
