"""The attribute that names a dataset's model: how it may look, when it may be set, and what happens without it."""

from __future__ import annotations

import pytest
from model_programs import model_env, program, warnings  # noqa: F401

@pytest.mark.parametrize("kind", ["variable", "ascii", "fixed", "padded", "element", "utf-8"])
def test_every_kind_of_string_names_a_model(program, tmp_h5, kind):  # noqa: F811
    done = program(f"""
        def name(f, d):
            path = models.embed(f, M)
            kind = {kind!r}
            if kind == "variable":
                d.attrs["augur_model"] = path
            elif kind == "ascii":
                d.attrs.create("augur_model", path, dtype=h5py.string_dtype("ascii"))
            elif kind == "fixed":  # no room for a final zero
                d.attrs["augur_model"] = np.bytes_(path)
            elif kind == "padded":
                t = h5py.h5t.C_S1.copy()
                t.set_size(200)
                t.set_strpad(h5py.h5t.STR_SPACEPAD)
                attribute_of_type(d, np.array(path.encode().ljust(200), "S200"), t)
            elif kind == "element":
                d.attrs.create("augur_model", [path], dtype=h5py.string_dtype())
            else:
                del f[path]
                path = "/модель"
                f[path] = np.frombuffer(M, "i1")
                d.attrs["augur_model"] = path
        write(sys.argv[1], name)
        with h5py.File(sys.argv[1]) as f:
            check(f["u"], M)
    """, tmp_h5)
    assert warnings(done) == []
    # In another process, which knows the model from the file alone.
    program("with h5py.File(sys.argv[1]) as f: check(f['u'], M)", tmp_h5)


@pytest.mark.parametrize("where", ["relative", "beside", "absolute", "path", "store", "file"])
def test_models_outside_of_the_file(program, tmp_path, where):  # noqa: F811
    """A file beside the HDF5 file, one anywhere, one on the search path, one in the store, and one embedded, by digest."""
    folder = {"path": tmp_path / "searched", "store": tmp_path / "store"}.get(where, tmp_path / "data" / "models")
    (tmp_path / "data").mkdir()
    env = {"AUGUR_MODEL_PATH": f"/nowhere:{tmp_path / 'searched'}"}
    code = f"""
        where, folder = {where!r}, {str(folder)!r}
        if where == "beside":
            folder = os.path.dirname(sys.argv[1])
        path = str(models.store(folder, M, "wind")) if where in ("relative", "beside", "absolute", "path") else None
        def name(f, d):
            if where == "store":
                models.store(folder, M)
            if where == "file":
                models.embed(f, M)
            digest = "sha256:" + models.digest(M)
            d.attrs["augur_model"] = {{"relative": "models/wind.safetensors", "beside": "wind.safetensors", "absolute": path}}.get(where, digest)
        write(sys.argv[1], name)
        with h5py.File(sys.argv[1]) as f:
            check(f["u"], M)
    """
    done = program(code, tmp_path / "data" / "a.h5", env=env)
    assert warnings(done) == []
    program("with h5py.File(sys.argv[1]) as f: check(f['u'], M)", tmp_path / "data" / "a.h5", env=env)
    # As a relative path, from another working directory.
    program("with h5py.File('a.h5') as f: check(f['u'], M)", env=env, cwd=tmp_path / "data")


def test_an_attribute_that_is_set_after_the_data_but_before_they_are_flushed(program, tmp_h5):  # noqa: F811
    done = program("""
        with h5py.File(sys.argv[1], "w") as f:
            d = create(f, "u")
            d[...] = A  # stays in the chunk cache
            d.attrs["augur_model"] = models.embed(f, M)
        with h5py.File(sys.argv[1]) as f:
            check(f["u"], M)
    """, tmp_h5)
    assert warnings(done) == []


def test_chunks_that_were_flushed_before_the_attribute_are_stored_without_a_model(program, tmp_h5):  # noqa: F811
    done = program("""
        with h5py.File(sys.argv[1], "w") as f:
            d = create(f, "u")
            d[:16] = A[:16]
            f.flush()
            d.attrs["augur_model"] = models.embed(f, M)
            d[16:] = A[16:]
        with h5py.File(sys.argv[1]) as f:
            check(f["u"], None, M)
            assert models.chunk_models(f["u"]) == [None, models.digest(M)]
    """, tmp_h5)
    assert len(warnings(done)) == 1


def test_without_an_attribute_one_warning_says_so_for_each_dataset(program, tmp_h5):  # noqa: F811
    done = program("""
        with h5py.File(sys.argv[1], "w") as f:
            for name in "uv":
                d = f.create_dataset(name, shape=A.shape, dtype="f4", chunks=(4, 60, 61), compression=49493,
                                     compression_opts=models.words(BOUND))
                for t in range(32):
                    d[t] = A[t]
                    f.flush()
            plain = f.create_dataset("plain", data=A, chunks=(4, 60, 61), compression=49493, compression_opts=(1, *models.words(BOUND)[1:]))
            f.flush()
            assert f["u"].id.get_storage_size() < 1.4 * plain.id.get_storage_size()
        with h5py.File(sys.argv[1]) as f:
            for name in "uv":
                assert_bound(A, f[name][...], BOUND)
                assert set(models.chunk_models(f[name])) == {None}
    """, tmp_h5)
    for name, line in zip("uv", warnings(done), strict=True):
        assert line.startswith(f"augur: warning: /{name} in {tmp_h5} has the preset learned, but no model"), line
        assert "its attribute augur_model is not there" in line and "preset balanced" in line, line


# What the attribute holds, as Python source, and what the warning says of it.
WRONG = {
    "number": ("7", "it is no string"),
    "numbers": ("np.arange(3.0)", "it is no string"),
    "two": ("['a', 'b']", "it has 2 values"),
    "none": ("h5py.Empty(h5py.string_dtype())", "it has 0 values"),
    "reference": ("f.ref", "it is no string"),
    "empty": ("''", "it is empty"),
    "bytes": ("np.bytes_(b'\\xff\\xfe')", "no valid text"),
    "digest": ("'sha256:123'", "64 hexadecimal digits expected"),
    "unknown": ("'sha256:' + 64 * 'a'", "sha256:" + 64 * "a" + " was found nowhere"),
    "in file": ("'/_augur/models/' + 64 * 'b'", "sha256:" + 64 * "b" + " was found nowhere"),
    "path": ("'/not/there'", "/not/there is neither in"),
    "file": ("'not/there.safetensors'", "not/there.safetensors: No such file"),
    "folder": ("'.'", "no regular file"),
    "group": ("models.GROUP", "it cannot be opened as a dataset"),
    "floats": ("'/other'", "its type is not that of bytes"),
    "square": ("'/square'", "it has not one dimension"),
    "foreign": ("'/foreign'", "cannot be used"),
    "cut": ("'/cut'", "cannot be used"),
    "damaged": ("'/_augur/models/' + 64 * 'c'", "its SHA-256 is not its name"),
    "huge": ("'/huge'", "at most"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_attribute_that_leads_nowhere_is_a_warning_and_no_failure(program, tmp_h5, case):  # noqa: F811
    value, says = WRONG[case]
    done = program(f"""
        with h5py.File(sys.argv[1], "w") as f:
            models.embed(f, M)
            f["other"], f["square"], f["foreign"] = np.ones(3), np.ones((3, 3), "u1"), np.ones(300, "u1")
            f["cut"] = np.frombuffer(M[:200], "u1")
            f[models.GROUP + "/" + 64 * "c"] = np.frombuffer(M, "u1")
            f.create_dataset("huge", shape=(1 << 40,), dtype="u1", chunks=(1 << 20,))
            d = create(f, "u")
            d.attrs["augur_model"] = {value}
            d[...] = A
        with h5py.File(sys.argv[1]) as f:
            check(f["u"], None)
    """, tmp_h5)
    lines = warnings(done)
    assert len(lines) == 1 and says in lines[0] and f"/u in {tmp_h5}" in lines[0], lines
    assert "HDF5-DIAG" not in done.stderr


def test_the_digest_in_the_words_goes_before_the_attribute(program, tmp_h5):  # noqa: F811
    done = program("""
        with h5py.File(sys.argv[1], "w") as f:
            d = create(f, "u", N)
            d.attrs["augur_model"] = models.embed(f, M)
            models.embed(f, N)
            d[...] = A
        with h5py.File(sys.argv[1]) as f:
            check(f["u"], N)
    """, tmp_h5)
    assert warnings(done) == []


def test_a_digest_in_the_words_needs_no_attribute(program, tmp_path, tmp_h5):  # noqa: F811
    """Found in the file, in the folder of the search path, in the store; and the attribute may say which file it is."""
    for place in ("embedded", "path", "store", "attribute"):
        done = program("""
            place, folder = sys.argv[2], sys.argv[3]
            with h5py.File(sys.argv[1], "w") as f:
                d = create(f, "u", M)
                {"embedded": lambda: models.embed(f, M), "path": lambda: models.store(folder + "/searched", M, "some name"),
                 "store": lambda: models.store(folder + "/store", M), "attribute": lambda: models.store(folder, M, "beside")}[place]()
                if place == "attribute":
                    d.attrs["augur_model"] = "beside.safetensors"
                d[...] = A
            with h5py.File(sys.argv[1]) as f:
                check(f["u"], M)
            shutil.rmtree(folder + "/searched", True)
            shutil.rmtree(folder + "/store", True)
        """, tmp_h5, place, tmp_path, env={"AUGUR_MODEL_PATH": str(tmp_path / "searched")})
        assert warnings(done) == [], place


@pytest.mark.parametrize("named_by", ["words", "attribute"])
def test_a_fill_value_leaves_the_model_its_room(program, tmp_h5, named_by):  # noqa: F811
    """The user's fill value takes words 4 and 5; the dataset's own then lies in other words, beside the model."""
    done = program(f"""
        words = list(models.words(BOUND, M if {named_by!r} == "words" else None))
        words[0] |= 1 << 17
        words[4:6] = np.array([-999.0]).view("u4")
        a = A.astype("f8")
        a[3, 5] = -999
        a[4, 5] = 12.25
        with h5py.File(sys.argv[1], "w") as f:
            models.embed(f, N)
            for name, model in (("u", M), ("v", M if {named_by!r} == "words" else N)):
                d = f.create_dataset(name, shape=a.shape, dtype="f8", chunks=CHUNK, fillvalue=12.25, compression=49493, compression_opts=tuple(words))
                d.attrs["augur_model"] = models.embed(f, model)
            for name in "vu":
                f[name][...] = a
        with h5py.File(sys.argv[1]) as f:
            for name, model in (("u", M), ("v", M if {named_by!r} == "words" else N)):
                assert_bound(a, f[name][...], BOUND, fill=-999)
                assert set(models.chunk_models(f[name])) == {{models.digest(model)}}
    """, tmp_h5)
    assert warnings(done) == []
