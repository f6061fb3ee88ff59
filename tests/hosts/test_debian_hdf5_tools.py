"""h5repack, h5dump, h5copy and h5diff of the distribution's HDF5 (1.10.8 in Debian 12) work through the plugin."""

from __future__ import annotations

import numpy as np
import pytest
from debian import FILTER_ID, files, largest_error, need, run, user_defined, waves, words  # noqa: F401

BOUND = 1e-3
CHUNK = (16, 48, 64)


def repack(env, source, target, bound, chunk=CHUNK, mandatory=False, name="u"):
    layout = ["-l", f"{name}:CHUNK={'x'.join(map(str, chunk))}"] if chunk else []
    run("h5repack", "-f", f"{name}:{user_defined(bound, mandatory)}", *layout, source, target, env=env)


@pytest.mark.parametrize("mandatory", [False, True])
@pytest.mark.parametrize(
    "keywords",
    ["", "chunks=(7, 20, 33)", 'chunks=(16, 48, 64), compression="gzip", shuffle=True', "chunks=(1, 48, 64), fletcher32=True"],
    ids=["contiguous", "chunked", "gzip", "fletcher32"],
)
def test_h5repack_compresses_within_the_bound(files, plugin_env, tmp_path, keywords, mandatory):  # noqa: F811
    need("h5repack")
    data = waves()
    source = files.write(tmp_path / "source.h5", data, keywords=keywords)
    repack(plugin_env, source, tmp_path / "target.h5", BOUND, mandatory=mandatory)
    assert largest_error(files.read(tmp_path / "target.h5"), data) <= BOUND
    assert files.filters(tmp_path / "target.h5") == [FILTER_ID]
    assert files.stored(tmp_path / "target.h5") < data.nbytes


@pytest.mark.parametrize("dtype", ["f8", "f2", ">f4", "i2", "u1", ">i4"])
def test_h5repack_keeps_the_bound_for_every_type(files, plugin_env, tmp_path, dtype):  # noqa: F811
    need("h5repack")
    bound = 1e-2 if "f" in dtype else 2.0
    data = (waves() if "f" in dtype else (waves() + 2) * 60).astype(dtype)
    source = files.write(tmp_path / "source.h5", data)
    repack(plugin_env, source, tmp_path / "target.h5", bound)
    assert largest_error(files.read(tmp_path / "target.h5"), data) <= bound
    assert files.filters(tmp_path / "target.h5") == [FILTER_ID]


@pytest.mark.parametrize(
    "bound, chunk",
    [(BOUND, CHUNK), (BOUND, None), (1e-2, CHUNK), (1e-4, CHUNK), (BOUND, (8, 24, 64)), (1e-2, (40, 17, 13)), (0, CHUNK)],
)
def test_h5repack_of_augur_input_adds_at_most_the_new_bound(files, plugin_env, tmp_path, bound, chunk):  # noqa: F811
    """The words in the file are already expanded; set_local must take them again, for another chunk shape too."""
    need("h5repack")
    data = waves()
    source = files.write_augur(tmp_path / "source.h5", data, BOUND, CHUNK)
    decoded = files.read(source)
    repack(plugin_env, source, tmp_path / "target.h5", bound, chunk)
    again = files.read(tmp_path / "target.h5")
    assert largest_error(again, decoded) <= bound
    assert largest_error(again, data) <= (BOUND + bound) * (1 + 1e-12)
    assert files.filters(tmp_path / "target.h5") == [FILTER_ID]


def test_h5repack_to_other_chunks_takes_over_the_filter(files, plugin_env, tmp_path):  # noqa: F811
    """Only the layout is asked for, so h5repack passes the expanded words on to the new dataset."""
    need("h5repack")
    data = waves()
    source = files.write_augur(tmp_path / "source.h5", data, BOUND, CHUNK)
    run("h5repack", "-l", "u:CHUNK=10x31x20", source, tmp_path / "target.h5", env=plugin_env)
    assert files.filters(tmp_path / "target.h5") == [FILTER_ID]
    assert largest_error(files.read(tmp_path / "target.h5"), files.read(source)) <= BOUND


def test_h5repack_removes_the_filter(files, plugin_env, clean_env, tmp_path):  # noqa: F811
    need("h5repack")
    source = files.write_augur(tmp_path / "source.h5", waves(), BOUND, CHUNK)
    run("h5repack", "-f", "u:NONE", source, tmp_path / "plain.h5", env=plugin_env)
    decoded = files.read(source)
    files.env = clean_env  # without the plugin
    np.testing.assert_array_equal(files.read(tmp_path / "plain.h5"), decoded)


def test_h5repack_says_what_is_wrong_with_a_bound(files, plugin_env, tmp_path):  # noqa: F811
    """The dataset cannot be created with such a filter; h5repack then copies it as it was."""
    need("h5repack")
    data = waves()
    source = files.write(tmp_path / "source.h5", data)
    done = run("h5repack", "-f", f"u:{user_defined(-1.0)}", "-l", "u:CHUNK=16x48x64", source, tmp_path / "target.h5",
               env=plugin_env, check=False)
    assert "the absolute bound is -1, it must be finite and greater than 0" in done.stderr, done.stderr
    np.testing.assert_array_equal(files.read(tmp_path / "target.h5"), data)
    assert files.filters(tmp_path / "target.h5") == []


def test_h5dump_prints_filter_and_values(files, plugin_env, tmp_path):  # noqa: F811
    need("h5dump")
    source = files.write_augur(tmp_path / "source.h5", waves(), BOUND, CHUNK)
    head = run("h5dump", "-p", "-H", source, env=plugin_env).stdout
    assert f"FILTER_ID {FILTER_ID}" in head and "augur" in head
    run("h5dump", "-d", "/u", "-b", "LE", "-o", tmp_path / "u.bin", source, env=plugin_env)
    dumped = np.fromfile(tmp_path / "u.bin", "<f4").reshape(waves().shape)
    np.testing.assert_array_equal(dumped, files.read(source))
    assert largest_error(dumped, waves()) <= BOUND
    one = run("h5dump", "-d", "/u", "-s", "17,3,5", "-c", "1,1,1", "-m", "%.9g", source, env=plugin_env).stdout
    value = float(one.split("(17,3,5): ")[1].split()[0])
    assert value == pytest.approx(float(dumped[17, 3, 5]), abs=1e-9)


def test_h5copy_copies_chunks_that_stay_readable(files, plugin_env, tmp_path):  # noqa: F811
    need("h5copy")
    source = files.write_augur(tmp_path / "source.h5", waves(), BOUND, CHUNK)
    run("h5copy", "-i", source, "-o", tmp_path / "target.h5", "-s", "/u", "-d", "/other/name", "-p", env=plugin_env)
    np.testing.assert_array_equal(files.read(tmp_path / "target.h5", "other/name"), files.read(source))
    assert files.stored(tmp_path / "target.h5", "other/name") == files.stored(source)


def test_h5diff_finds_the_bound_kept(files, plugin_env, tmp_path):  # noqa: F811
    need("h5diff", "h5repack")
    source = files.write(tmp_path / "source.h5", waves())
    repack(plugin_env, source, tmp_path / "target.h5", BOUND)
    assert run("h5diff", "-d", BOUND, source, tmp_path / "target.h5", "/u", env=plugin_env, check=False).returncode == 0
    other = files.write(tmp_path / "other.h5", waves() + np.float32(3 * BOUND))
    assert run("h5diff", "-d", BOUND, other, tmp_path / "target.h5", "/u", env=plugin_env, check=False).returncode == 1


def test_h5ls_needs_no_plugin(files, clean_env, tmp_path):  # noqa: F811
    need("h5ls")
    source = files.write_augur(tmp_path / "source.h5", waves(), BOUND, CHUNK)
    assert str(FILTER_ID) in run("h5ls", "-v", source, env=clean_env).stdout
