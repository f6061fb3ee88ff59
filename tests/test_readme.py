"""README.md is true: what it shows runs, in the order in which it shows it, and its links lead somewhere."""

from __future__ import annotations

import re
import shutil
import subprocess

import models
import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def readme(repository) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_python_and_shell_examples_run(readme, run_python, venv_python, clean_env, tmp_path):
    python = blocks(readme, "python")
    assert len(python) == 4
    (tmp_path / "wind.safetensors").write_bytes(models.shifting_model("wind"))
    for code in python:
        run_python(code, cwd=tmp_path)
    if not all(shutil.which(tool) for tool in ("h5repack", "h5dump", "nccopy")):
        pytest.skip("the shell examples need h5repack, h5dump and nccopy (packages hdf5-tools, netcdf-bin)")
    run_python("""
        import h5py, netCDF4, numpy as np
        wind = np.random.default_rng(1).normal(size=(64, 73, 144)).cumsum(axis=0).astype("f4")
        with h5py.File("plain.h5", "w") as f:
            f["wind"] = wind
        with netCDF4.Dataset("plain.nc", "w") as nc:
            for name, size in (("time", 64), ("lat", 73), ("lon", 144)):
                nc.createDimension(name, size)
            nc.createVariable("wind", "f4", ("time", "lat", "lon"), chunksizes=(16, 73, 144))[:] = wind
    """, cwd=tmp_path)
    shell = blocks(readme, "sh")[1]
    env = {**clean_env, "PATH": f"{venv_python.parent}:{clean_env['PATH']}"}
    done = subprocess.run(["sh", "-euc", shell], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run_python("""
        import h5augur, h5py
        from augur_testing import assert_bound
        with h5py.File("plain.h5") as plain:
            for name in ("small.h5", "small.nc"):
                with h5py.File(name) as small:
                    assert_bound(plain["wind"][...], small["wind"][...], 0.01)
                    number, _, options, _ = small["wind"].id.get_create_plist().get_filter(0)
                    assert h5augur.from_filter_options(number, options) == h5augur.Augur(absolute=0.01)
    """, cwd=tmp_path)


def test_examples_of_import_and_export_run(readme, clean_env, tmp_path):
    if not shutil.which("augur"):
        pytest.skip("the shell example needs the command augur")
    (tmp_path / "frames").mkdir()
    for i in range(3):
        Image.fromarray(np.full((30, 40), 9 * i, "u1")).save(tmp_path / "frames" / f"img{i}.png")
    np.arange(100 * 50 * 60, dtype="f4").tofile(tmp_path / "U.bin")
    shell = blocks(readme, "sh")[2]
    done = subprocess.run(["sh", "-euc", shell], cwd=tmp_path, env=clean_env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "pictures").iterdir())) == 100
    for i in range(3):
        assert np.abs(np.asarray(Image.open(tmp_path / "seen" / f"frame_{i:04}.png")).astype(int) - 9 * i).max() <= 2


def test_examples_of_models_run(readme, run_python, plugin_env, tmp_path):
    python, shell = blocks(readme, "python"), blocks(readme, "sh")[3]
    (tmp_path / "wind.safetensors").write_bytes(models.shifting_model("wind"))
    run_python(python[3], cwd=tmp_path)
    run_python("""
        import h5py, numpy as np
        with h5py.File("plain.h5", "w") as f:
            f["wind"] = np.random.default_rng(1).normal(size=(64, 73, 144)).cumsum(axis=0).astype("f4")
    """, cwd=tmp_path)
    if not shutil.which("augur"):
        pytest.skip("the shell example needs the command augur")
    done = subprocess.run(["sh", "-euc", shell], cwd=tmp_path, env=plugin_env, capture_output=True, text=True)
    assert done.returncode == 0 and models.digest(models.shifting_model("wind")) in done.stdout, done.stderr
    (tmp_path / "wind.safetensors").unlink()
    run_python("""
        import h5py
        from augur_testing import assert_bound
        with h5py.File("plain.h5") as plain:
            for name in ("learned.h5", "learned_too.h5"):
                with h5py.File(name) as f:
                    assert_bound(plain["wind"][...], f["wind"][...], 0.01, what=name)
                    assert f["wind"].id.get_create_plist().get_filter(0)[2][0] >> 8 & 255 == 3
    """, env=plugin_env, cwd=tmp_path)


def test_c_example_compiles_and_runs(readme, repository, plugin_env, run_python, tmp_path):
    if not shutil.which("h5cc"):
        pytest.skip("the C example needs h5cc (packages libhdf5-dev, gcc)")
    (code,) = blocks(readme, "c")
    (tmp_path / "example.c").write_text(code)
    compiled = subprocess.run(
        ["h5cc", "-Wall", "-Wextra", "-Werror", f"-I{repository / 'h5-plugin' / 'include'}", "example.c", "-o", "example"],
        cwd=tmp_path, capture_output=True, text=True,
    )
    assert compiled.returncode == 0, compiled.stderr
    done = subprocess.run([tmp_path / "example"], cwd=tmp_path, env=plugin_env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run_python("""
        import h5augur, h5py
        with h5py.File("c.h5") as f:
            number, _, options, _ = f["wind"].id.get_create_plist().get_filter(0)
            assert h5augur.from_filter_options(number, options) == h5augur.Augur(absolute=0.01)
            assert f["wind"].shape == (64, 73, 144)
    """, cwd=tmp_path)


def test_links_lead_somewhere(readme, repository):
    links = re.findall(r"\]\(([^)#]+)\)", readme)
    assert links
    missing = [link for link in links if not link.startswith("http") and not (repository / link).exists()]
    assert not missing


def test_commands_that_open_the_readme_exist(readme, repository):
    first = blocks(readme, "sh")[0]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]
    helped = subprocess.run(["make", "help"], cwd=repository, capture_output=True, text=True, check=True).stdout
    assert "make demo" in helped and "make test" in helped
