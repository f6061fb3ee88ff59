"""The demo on other data than its own: what `make demo DATA=` does with users' files."""

from __future__ import annotations

import re
import subprocess

import pytest

MAKE = """
    import h5py, netCDF4, numpy as np
    from augur_testing import field
    a = field((40, 30, 36))
    with h5py.File("some.h5", "w") as f:
        holes = a.astype("f8")
        holes[:, 3:9, 4:7] = np.nan
        f["deep/holes"] = holes
        f["image"] = field((20, 30, 36), "u1")
        f["line"] = field((3000,))
        f["volume"] = field((6, 5, 20, 24), ">f4")
        f["constant"] = np.ones(50)
        f["text"] = "not a field"
    with netCDF4.Dataset("some.nc", "w", format="NETCDF3_CLASSIC") as nc:
        for name, n in zip(("time", "lat", "lon"), a.shape):
            nc.createDimension(name, n)
        nc.createVariable("lat", "f8", ("lat",))[:] = np.linspace(-80, 80, 30)
        nc["lat"].units = "degrees_north"
        v = nc.createVariable("t", "f4", ("time", "lat", "lon"), fill_value=-99.9)
        v.units = "K"
        a[a > 1.2] = -99.9
        v[:] = a
"""


def demo(repository, venv_python, clean_env, directory, *arguments):
    return subprocess.run(
        [venv_python, repository / "examples" / "demo" / "demo.py", *arguments, "--rel", "1e-3", "--repeat", "1"],
        cwd=directory, env=clean_env, capture_output=True, text=True, timeout=300,
    )


@pytest.fixture(scope="module")
def files(run_python, tmp_path_factory):
    directory = tmp_path_factory.mktemp("demo")
    run_python(MAKE, cwd=directory)
    return directory


@pytest.mark.parametrize("data", ["some.h5", "some.h5:/deep/holes", "some.h5:image", "some.h5:line", "some.h5:/volume", "some.nc"])
def test_demo_compares_and_draws(repository, venv_python, clean_env, files, data):
    picture = files / (re.sub(r"\W", "_", data) + ".png")
    done = demo(repository, venv_python, clean_env, files, data, "--picture", picture)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if " Augur  " in line]
    assert len(rows) == 1
    for row in rows:
        ratio, error = (float(x) for x in row.split(" Augur  ")[1].split()[:2])
        assert ratio > 1 and 0 <= error <= 1, row
    assert len(re.findall(r" (SZ3 3.4|SZ3 \(|ZFP \()", done.stdout)) == 3
    assert f"picture: {picture}" in done.stdout
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("absent.h5", "no file"),
        ("some.h5:/absent", "deep/holes"),
        ("some.h5:text", "no numeric dataset"),
        ("some.h5:constant", "constant"),
        (__file__, "neither HDF5"),
    ],
)
def test_demo_says_what_is_wrong_with_its_data(repository, venv_python, clean_env, files, data, says):
    done = demo(repository, venv_python, clean_env, files, data)
    assert done.returncode == 1
    assert says in done.stderr and "Traceback" not in done.stderr
