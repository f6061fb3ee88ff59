"""Reading needs the model that a chunk names: wherever it is found; where it is not, the error says what to look for."""

from __future__ import annotations

import shutil

import pytest
from model_programs import model_env, program, text_of_models, warnings  # noqa: F401

MAKE = """
    with h5py.File(sys.argv[1], "w") as f:
        d = create(f, "u")
        d[:16] = A[:16]
        f.flush()  # the first chunk needs no model
        {name}
        d[16:] = A[16:]
        e = create(f, "plain")
        e.attrs["augur_model"] = "sha256:" + models.digest(M)
"""
EMBED = 'd.attrs["augur_model"] = models.embed(f, M)'
BESIDE = 'models.store(".", M, "wind"); d.attrs["augur_model"] = "wind.safetensors"'

READ = "with h5py.File(sys.argv[1]) as f: check(f['u'], None, M)"


def test_a_missing_model_is_an_error_that_names_it_and_every_place(program, tmp_path, tmp_h5):  # noqa: F811
    program(MAKE.format(name=EMBED), tmp_h5)
    done = program("""
        with h5py.File(sys.argv[1], "r+") as f:
            del f[f["u"].attrs["augur_model"]]
        with h5py.File(sys.argv[1]) as f:
            d = f["u"]
            assert_bound(A[:16], d[:16], BOUND)  # needs none
            for attempt in range(5):
                try:
                    d[20]
                except OSError as error:
                    print(error)
                else:
                    raise AssertionError("read without its model")
            assert_bound(A[:16], d[:16], BOUND)
    """, tmp_h5, env={"AUGUR_MODEL_PATH": f"{tmp_path}:/nowhere"})
    lines = warnings(done)
    assert len(lines) == 3, "an identical line is shown three times"
    for expected in ("error: cannot read a chunk", f"sha256:{text_of_models()['M']} was found nowhere", f"attribute augur_model of /u in {tmp_h5}",
                     f"/_augur/models in {tmp_h5} (not there)", f"{tmp_path} (AUGUR_MODEL_PATH)", "/nowhere (AUGUR_MODEL_PATH)",
                     f"{tmp_path}/store (the user's store)"):
        assert expected in lines[0], (expected, lines[0])


def test_the_attribute_is_not_needed_to_read(program, tmp_path, tmp_h5):  # noqa: F811
    program(MAKE.format(name=EMBED), tmp_h5)
    for change in ("del d.attrs['augur_model']", "d.attrs['augur_model'] = 7", "d.attrs['augur_model'] = 'sha256:' + 64 * '0'",
                   "d.attrs['augur_model'] = models.embed(f, N)", "f.move('u', 'v'); f['u'] = f['v']"):
        program(f"""
            with h5py.File(sys.argv[1], "r+") as f:
                d = f["u"]
                {change}
        """, tmp_h5)
        assert warnings(program(READ, tmp_h5)) == [], change


@pytest.mark.parametrize("place", ["search path", "search path, other name", "store", "attribute", "other open file", "home"])
def test_a_model_is_taken_from_wherever_it_is(program, tmp_path, tmp_h5, place):  # noqa: F811
    program(MAKE.format(name=EMBED), tmp_h5)
    done = program(f"""
        place, root = {place!r}, {str(tmp_path)!r}
        with h5py.File(sys.argv[1], "r+") as f:
            d = f["u"]
            del f[d.attrs["augur_model"]]
            if place == "search path":
                models.store(root + "/searched", M)
            elif place == "search path, other name":
                models.store(root + "/searched", N, models.digest(M))  # lies
                models.store(root + "/searched", M, "renamed")
                open(root + "/searched/empty.safetensors", "w").close()
            elif place == "store":
                models.store(root + "/store", M)
            elif place == "attribute":
                d.attrs["augur_model"] = str(models.store(root + "/elsewhere", M, "m"))
            elif place == "other open file":
                with h5py.File(root + "/other.h5", "w") as g:
                    models.embed(g, M)
            else:
                models.store(root + "/home/.local/share/augur/models", M)
    """, tmp_h5)
    read = "g = h5py.File(sys.argv[2]) if sys.argv[2] else None\n" + READ
    env = {"AUGUR_MODEL_PATH": str(tmp_path / "searched"), "HOME": str(tmp_path / "home"), "XDG_DATA_HOME": "relative paths do not count"}
    if place == "home":
        env["AUGUR_MODEL_STORE"] = ""
    done = program(read, tmp_h5, tmp_path / "other.h5" if place == "other open file" else "", env=env)
    assert warnings(done) == []


def test_a_damaged_or_false_embedded_model_is_not_used(program, tmp_path, tmp_h5):  # noqa: F811
    program(MAKE.format(name=EMBED), tmp_h5)
    for change in ("g[800] ^= 1", "g[0] = 255", "g.resize(100, axis=0)", "g.resize(2 ** 40, axis=0)"):
        done = program(f"""
            with h5py.File(sys.argv[1], "r+") as f:
                path = f["u"].attrs["augur_model"]
                del f[path]
                g = f.create_dataset(path, data=np.frombuffer(M, "u1"), chunks=(100,), maxshape=(None,))
                {change}
            with h5py.File(sys.argv[1]) as f:
                f["u"][20]
        """, tmp_h5, check=False)
        assert done.returncode == 1 and "OSError" in done.stderr, done.stderr
        assert "its SHA-256 is not its name" in done.stderr or "at most" in done.stderr, (change, done.stderr)
    assert warnings(program(READ, tmp_h5, check=False))
    # A good one elsewhere still counts.
    program("models.store(sys.argv[1], M)", tmp_path / "store")
    program(READ, tmp_h5)


@pytest.mark.parametrize("how", ["embedded", "moved along", "left behind"])
def test_a_file_that_moves_to_another_folder(program, tmp_path, how):  # noqa: F811
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    program(MAKE.format(name=EMBED if how == "embedded" else BESIDE), "a.h5", cwd=tmp_path / "one")
    shutil.move(tmp_path / "one" / "a.h5", tmp_path / "two" / "b.h5")
    if how == "moved along":
        shutil.move(tmp_path / "one" / "wind.safetensors", tmp_path / "two" / "wind.safetensors")
    for folder, path in ((tmp_path, "two/b.h5"), (tmp_path / "two", "b.h5"), (tmp_path / "one", tmp_path / "two" / "b.h5")):
        done = program(READ, path, cwd=folder, check=False)
        if how == "left behind":
            assert done.returncode == 1 and "wind.safetensors: No such file" in done.stderr, done.stderr
        else:
            assert (done.returncode, warnings(done)) == (0, []), done.stderr
    program(READ, tmp_path / "two" / "b.h5", env={"AUGUR_MODEL_PATH": str(tmp_path / "one")}, check=how != "moved along")


def test_a_file_reached_through_an_external_link(program, tmp_path):  # noqa: F811
    program(MAKE.format(name=EMBED), tmp_path / "a.h5")
    done = program("""
        with h5py.File("b.h5", "w") as f:
            f["linked"] = h5py.ExternalLink("a.h5", "/u")
        with h5py.File("b.h5") as f:
            check(f["linked"], None, M)
    """, cwd=tmp_path)
    assert warnings(done) == []


def test_an_embedded_model_may_be_compressed(program, tmp_h5):  # noqa: F811
    """By any filter, in chunks, and even by Augur itself, as when a whole file is compressed: it stays what it is."""
    program(MAKE.format(name=EMBED), tmp_h5)
    for keywords in ('compression="gzip", shuffle=True, chunks=(100,)', "compression=49493, compression_opts=(1, 1, 0, 0x40240000), chunks=(len(M),)",
                     "compression=49493, compression_opts=models.words(10.0, M), chunks=(len(M),)",
                     'dtype="i1", fletcher32=True'):
        done = program(f"""
            with h5py.File(sys.argv[1], "r+") as f:
                path = f["u"].attrs["augur_model"]
                del f[path]
                f.create_dataset(path, data=np.frombuffer(M, "u1").view("i1") if "i1" in {keywords!r} else np.frombuffer(M, "u1"), {keywords})
        """, tmp_h5)
        done = program(READ, tmp_h5)
        assert warnings(done) == [], keywords


def test_reading_makes_no_search_for_a_model_that_is_known(program, tmp_h5):  # noqa: F811
    """Once read, the model serves every file of the process, also those that have lost theirs."""
    program(MAKE.format(name=EMBED), tmp_h5)
    done = program("""
        with h5py.File(sys.argv[1], "r+") as f:
            check(f["u"], None, M)
            del f[f["u"].attrs["augur_model"]], f["u"].attrs["augur_model"]
        with h5py.File(sys.argv[1]) as f:
            check(f["u"], None, M)
    """, tmp_h5)
    assert warnings(done) == []
