"""Several datasets, files and libraries at once: each chunk gets its own dataset's model, and finds it again."""

from __future__ import annotations

import textwrap

import pytest
from model_programs import HEAD, model_env, program, warnings  # noqa: F401


def test_two_datasets_with_different_models_in_one_file(program, tmp_h5):  # noqa: F811
    done = program("""
        with h5py.File(sys.argv[1], "w") as f:
            u, v, w = (create(f, name) for name in "uvw")
            u.attrs["augur_model"], v.attrs["augur_model"] = models.embed(f, M), models.embed(f, N)
            for t in range(0, 32, 16):
                for d in (u, v, w):
                    d[t:t + 16] = A[t:t + 16]
                f.flush()
    """, tmp_h5)
    assert len(warnings(done)) == 1 and "/w in" in warnings(done)[0]
    program("with h5py.File(sys.argv[1]) as f: check(f['u'], M); check(f['v'], N); check(f['w'], None)", tmp_h5)


def test_two_datasets_with_different_models_in_two_files(program, tmp_path):  # noqa: F811
    """The same path in both files; the second has its own model alone."""
    done = program("""
        with h5py.File("a.h5", "w") as f, h5py.File("b.h5", "w") as g:
            u, v = create(f, "x/u"), create(g, "x/u")
            u.attrs["augur_model"], v.attrs["augur_model"] = models.embed(f, M), models.embed(g, N)
            for t in range(0, 32, 16):
                u[t:t + 16] = A[t:t + 16]
                v[t:t + 16] = A[t:t + 16]
                f.flush(), g.flush()
        with h5py.File("a.h5") as f, h5py.File("b.h5") as g:
            check(f["x/u"], M), check(g["x/u"], N)
    """, cwd=tmp_path)
    assert warnings(done) == []
    program("with h5py.File('b.h5') as g: check(g['x/u'], N)", cwd=tmp_path)


def test_one_property_list_for_two_datasets(program, tmp_h5):  # noqa: F811
    done = program("""
        with h5py.File(sys.argv[1], "w") as f:
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk(CHUNK)
            plist.set_filter(49493, h5py.h5z.FLAG_OPTIONAL, models.words(BOUND))
            space = h5py.h5s.create_simple(A.shape)
            for name, model in (("u", M), ("v", N)):
                h5py.h5d.create(f.id, name.encode(), h5py.h5t.IEEE_F32LE, space, plist)
                f[name].attrs["augur_model"] = models.embed(f, model)
            u, v = f["u"], f["v"]
            u[...], v[...] = A, A
        with h5py.File(sys.argv[1]) as f:
            check(f["u"], M), check(f["v"], N)
    """, tmp_h5)
    assert warnings(done) == []


def test_a_copy_beside_its_source(program, tmp_path):  # noqa: F811
    """H5Ocopy copies the cd_values whole, so that HDF5 cannot tell the two apart; either's model is right then."""
    done = program("""
        with h5py.File("a.h5", "w") as f:
            d = create(f, "u")
            d.attrs["augur_model"] = models.embed(f, M)
            models.embed(f, N)
            d[...] = A
            f.copy("u", "v")
            u, v = f["u"], f["v"]
            check(u, M), check(v, M)
            v.attrs["augur_model"] = models.GROUP + "/" + models.digest(N)
            u[...], v[...] = A, A
            f.flush()
            with h5py.File("b.h5", "w") as g:  # without any model
                f.copy("u", g, "u")
                w = g["u"]
                assert_bound(A, w[...], BOUND)
                w[:16] = A[:16]
                g.flush()
                assert_bound(A, w[...], BOUND)
        with h5py.File("a.h5") as f:
            check(f["u"], M, N), check(f["v"], M, N)
    """, cwd=tmp_path)
    assert warnings(done) == []
    program("with h5py.File('a.h5') as f: check(f['u'], M, N), check(f['v'], M, N)", cwd=tmp_path)
    # In a file of its own, the copy needs the other one's model: there while that is open, named where it is not.
    program("with h5py.File('a.h5'), h5py.File('b.h5') as g: check(g['u'], M, N)", cwd=tmp_path)
    failed = program("with h5py.File('b.h5') as g: check(g['u'], M, N)", cwd=tmp_path, check=False)
    assert failed.returncode != 0 and "/_augur/models in b.h5 (not there)" in failed.stderr


@pytest.mark.parametrize("where", ["same", "beside", "below", "prefix", "absolute", "itself"])
def test_a_virtual_dataset_over_it(program, tmp_path, where):  # noqa: F811
    """Only the virtual dataset is among the open ones; its property list says where the sources lie."""
    source = {"below": "deeper/source.h5", "prefix": "elsewhere/source.h5", "absolute": str(tmp_path / "c" / "source.h5")}.get(where, "source.h5")
    folder = {"below": "deeper", "prefix": "elsewhere", "absolute": "c"}.get(where, ".")
    (tmp_path / folder).mkdir(exist_ok=True)
    name = "source.h5" if where == "prefix" else source
    env = {"HDF5_VDS_PREFIX": str(tmp_path / "elsewhere")} if where == "prefix" else {}
    program("""
        path, name, where = sys.argv[1:]
        with h5py.File(path, "w") as f:
            d = create(f, "u")
            d.attrs["augur_model"] = models.embed(f, M)
            d[...] = A
        layout = h5py.VirtualLayout(A.shape, "f4")
        layout[...] = h5py.VirtualSource("." if where == "itself" else name, "u", A.shape)
        with h5py.File(path if where == "itself" else "virtual.h5", "a") as f:
            f.create_virtual_dataset("all", layout, fillvalue=np.nan)
    """, source, name, where, cwd=tmp_path, env=env)
    virtual = tmp_path / (source if where == "itself" else "virtual.h5")
    # h5py by itself sets no other prefix than that of the environment.
    done = program("""
        with h5py.File(sys.argv[1]) as f:
            assert_bound(A, f["all"][...], BOUND)
    """, virtual, env=env)
    assert warnings(done) == []


def test_a_virtual_dataset_over_numbered_files(program, tmp_path):  # noqa: F811
    """HDF5 makes the names of the sources from a pattern, one file for each block of 16 steps."""
    program("""
        for block in range(2):
            with h5py.File(f"part-{block}.h5", "w") as f:
                d = f.create_dataset("u", shape=(16, 60, 61), dtype="f4", chunks=CHUNK, compression=49493, compression_opts=models.words(BOUND))
                d.attrs["augur_model"] = models.embed(f, (M, N)[block])
                d[...] = A[16 * block:16 * block + 16]
        unlimited = h5py.h5s.UNLIMITED
        space = h5py.h5s.create_simple((32, 60, 61), (unlimited, 60, 61))
        space.select_hyperslab((0, 0, 0), (unlimited, 1, 1), (16, 60, 61), (16, 60, 61))
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_virtual(space, b"part-%b.h5", b"u", h5py.h5s.create_simple((16, 60, 61)))
        with h5py.File("virtual.h5", "w", libver="latest") as f:
            h5py.h5d.create(f.id, b"all", h5py.h5t.IEEE_F32LE, space, plist)
    """, cwd=tmp_path)
    done = program("""
        with h5py.File(sys.argv[1]) as f:
            assert_bound(A, f["all"][...], BOUND)
    """, tmp_path / "virtual.h5")
    assert warnings(done) == []


def test_writing_through_a_virtual_dataset(program, tmp_path):  # noqa: F811
    """The source is not among the open datasets: its attribute is out of reach, the digest in the words is not."""
    done = program("""
        for file, model in (("by_attribute.h5", None), ("by_words.h5", M)):
            with h5py.File(file, "w") as f:
                d = create(f, "u", model)
                d.attrs["augur_model"] = models.embed(f, M)
                d[:1] = A[:1]
            layout = h5py.VirtualLayout(A.shape, "f4")
            layout[...] = h5py.VirtualSource(file, "u", A.shape)
            with h5py.File("v_" + file, "w") as f:
                f.create_virtual_dataset("all", layout)
            with h5py.File("v_" + file, "r+") as f:
                f["all"][...] = A
        with h5py.File("by_attribute.h5") as f, h5py.File("by_words.h5") as g:
            check(f["u"], M, None), check(g["u"], M)
    """, cwd=tmp_path)
    assert all("not found among the open ones" in line and "cd_values" in line for line in warnings(done))


@pytest.mark.parametrize("first", ["h5py", "netCDF4"])
def test_two_libraries_in_one_process(program, run_python, model_env, tmp_path, first):  # noqa: F811
    """h5py and netCDF4 bring an HDF5 each; ids of one mean nothing in the other, models serve both."""
    head = f"import {first}\nimport netCDF4, h5netcdf\n"
    done = run_python(head + HEAD + textwrap.dedent("""
        def make(path, model):
            with h5netcdf.File(path, "w") as f:
                f.dimensions = dict(zip(("time", "y", "x"), A.shape))
                f.create_variable("u", ("time", "y", "x"), "f4", chunks=CHUNK, compression=49493, compression_opts=models.words(BOUND))
            with h5py.File(path, "r+") as f:
                f["u"].attrs["augur_model"] = models.embed(f, model)
        def write(path):
            with netCDF4.Dataset(path, "a") as nc:
                nc["u"][:] = A
        h5py.h5z.filter_avail(49493)
        make("a.h5", M), make("b.h5", N)
        with h5py.File("c.h5", "w") as f:
            d = create(f, "u")
            d.attrs["augur_model"] = models.embed(f, N)
            d[:16] = A[:16]
            write("a.h5")
            d[16:] = A[16:]
            f.flush()
            write("b.h5")
        for path, model in (("a.h5", M), ("b.h5", N), ("c.h5", N)):
            with netCDF4.Dataset(path) as nc, h5py.File(path) as f:
                nc["u"].set_auto_mask(False)
                assert_bound(A, np.asarray(nc["u"][:]), BOUND)
                check(f["u"], model)
    """), env=model_env, cwd=tmp_path)
    assert warnings(done) == []
    program("""
        import netCDF4
        for path in ("a.h5", "b.h5", "c.h5"):
            with netCDF4.Dataset(path) as nc:
                nc["u"].set_auto_mask(False)
                assert_bound(A, np.asarray(nc["u"][:]), BOUND)
    """, cwd=tmp_path)


def test_steps_are_added_by_later_processes(program, tmp_h5):  # noqa: F811
    """Expanded words, partly filled chunks that are decoded and encoded again, and the model from the file."""
    program("""
        with h5py.File(sys.argv[1], "w") as f:
            d = f.create_dataset("u", shape=(0, 60, 61), maxshape=(None, 60, 61), dtype="f4", chunks=CHUNK,
                                 compression=49493, compression_opts=models.words(BOUND))
            d.attrs["augur_model"] = models.embed(f, M)
    """, tmp_h5)
    for start in range(0, 32, 4):
        done = program("""
            start = int(sys.argv[2])
            h5py.h5z.filter_avail(49493)  # loads the plugin: the first process only writes
            with h5py.File(sys.argv[1], "r+") as f:
                d = f["u"]
                d.resize(start + 4, axis=0)
                assert_bound(A[:start], d[:start], BOUND)
                d[start:start + 4] = A[start:start + 4]
        """, tmp_h5, start)
        assert warnings(done) == []
    program("with h5py.File(sys.argv[1]) as f: check(f['u'], M)", tmp_h5)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_after_the_parent_used_models(program, tmp_path, method):  # noqa: F811
    program(f"""
        import multiprocessing
        def work(name):
            with h5py.File(name, "w") as f:
                for i, model in enumerate((M, N)):
                    d = create(f, f"u{{i}}")
                    d.attrs["augur_model"] = models.embed(f, model)
                    d[...] = A
            with h5py.File(name) as f:
                check(f["u0"], M), check(f["u1"], N)
            return name
        work("parent.h5")
        if {method!r} == "fork":
            names = [f"{{i}}.h5" for i in range(4)]
            with multiprocessing.get_context("fork").Pool(2) as pool:
                assert pool.map(work, names) == names
    """, cwd=tmp_path, env={"AUGUR_NUM_THREADS": "3"})
    if method == "spawn":
        program("with h5py.File('parent.h5') as f: check(f['u0'], M), check(f['u1'], N)", cwd=tmp_path)


def test_a_corrector_in_the_file_makes_chunks_smaller_and_is_read_by_others(program, tmp_h5):  # noqa: F811
    """Written whole and step by step; read by another process with two threads and with the kernels in plain Rust."""
    done = program("""
        A, M = models.bent(), models.correcting_model()
        with h5py.File(sys.argv[1], "w") as f:
            for name, steps in (("whole", 32), ("steps", 5)):
                d = create(f, name)
                d.attrs["augur_model"] = models.embed(f, M)
                for t in range(0, 32, steps):
                    d[t:t + steps] = A[t:t + steps]
            plain = f.create_dataset("plain", data=A, chunks=CHUNK, compression=49493, compression_opts=models.words(BOUND, preset=0))
            f.flush()
            sizes = {name: f[name].id.get_storage_size() for name in ("whole", "steps", "plain")}
            assert 10 * sizes["whole"] < 9 * sizes["plain"], sizes
            check(f["whole"], M)
    """, tmp_h5)
    assert warnings(done) == []
    shown = set()
    for env in ({"AUGUR_NUM_THREADS": "2"}, {"AUGUR_CPU": "portable", "AUGUR_NUM_THREADS": "1"}):
        done = program("""
            import hashlib
            A, M = models.bent(), models.correcting_model()
            with h5py.File(sys.argv[1]) as f:
                check(f["whole"], M), check(f["steps"], M)
                print(*(hashlib.sha256(f[name][...].tobytes()).hexdigest() for name in ("whole", "steps", "plain")))
        """, tmp_h5, env=env)
        assert warnings(done) == []
        shown.add(done.stdout)
    assert len(shown) == 1
