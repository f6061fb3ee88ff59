"""h5repack and nccopy with models: they copy attributes, data and embedded models in an order of their own."""

from __future__ import annotations

import pytest
from debian import need, run
from model_programs import model_env, program, text_of_models, warnings  # noqa: F401

import models

BOUND = 1e-2
WORDS = models.words(BOUND)
UD = f"UD=49493,1,{len(WORDS)},{','.join(map(str, WORDS))}"
BY_DIGEST = models.words(BOUND, models.shifting_model("first"))

# Large chunks do not fit the chunk cache of HDF5 1.10 (1 MiB) and are written at once.
LARGE = (32, 128, 130)
SETUP = """
    LARGE = (32, 128, 130)
    B = models.travelling(64, 128, 130)
    def check_large(d, *wanted):
        assert_bound(B, d[...], 2 * BOUND)
        assert set(models.chunk_models(d)) == {m and models.digest(m) for m in wanted}, models.chunk_models(d)
"""


def source(program, path, chunks, compress: bool, embed: bool = True, name: str = "u"):  # noqa: F811
    program(SETUP + f"""
    with h5py.File(sys.argv[1], "w") as f:
        options = dict(compression=49493, compression_opts=models.words(BOUND)) if {compress} else {{}}
        d = f.create_dataset({name!r}, shape=B.shape, dtype="f4", chunks={chunks}, **options)
        path = models.embed(f, M)
        d.attrs["augur_model"] = path if {embed} else "sha256:" + models.digest(M)
        d[...] = B
        f.flush()
        if not {embed}:
            del f["_augur"]
    """, path)


@pytest.mark.parametrize("chunk", [(8, 32, 65), LARGE], ids=["small", "large"])
@pytest.mark.parametrize("name", ["u", "U", "group/u"])
@pytest.mark.parametrize("compressed", [False, True])
def test_h5repack(program, model_env, tmp_path, chunk, name, compressed):  # noqa: F811
    """The attribute is copied after the data; while that lasts, the dataset of the input has it."""
    need("h5repack")
    if name == "group/u":
        program("h5py.File(sys.argv[1], 'w').create_group('group')", tmp_path / "in.h5")
    source(program, tmp_path / "in.h5", LARGE if compressed else (16, 64, 65), compressed, name=name)
    done = run("h5repack", "-f", f"{name}:{UD}", "-l", f"{name}:CHUNK={'x'.join(map(str, chunk))}", tmp_path / "in.h5",
               tmp_path / "out.h5", env=model_env)
    assert warnings(done) == []
    assert "HDF5-DIAG" not in done.stderr
    done = program(SETUP + f"""
    with h5py.File(sys.argv[1]) as f:
        d = f[{name!r}]
        assert d.chunks == {chunk}
        check_large(d, M)
        assert bytes(f[d.attrs["augur_model"]][...]) == M
    """, tmp_path / "out.h5")
    assert warnings(done) == []


def test_h5repack_passes_expanded_words_on(program, model_env, tmp_path):  # noqa: F811
    """With a digest in them, and with the mark that says which bits the user set."""
    need("h5repack")
    source(program, tmp_path / "in.h5", LARGE, True)
    words = ",".join(map(str, models.words(BOUND, models.shifting_model("first"), strict=True)))
    run("h5repack", "-f", f"u:UD=49493,0,10,{words}", "-l", "u:CHUNK=16x128x130", tmp_path / "in.h5", tmp_path / "one.h5", env=model_env)
    # Only the layout is asked for: the words of one.h5 go into set_local again.
    done = run("h5repack", "-l", "u:CHUNK=32x64x130", tmp_path / "one.h5", tmp_path / "two.h5", env=model_env)
    assert warnings(done) == []
    program(SETUP + """
    with h5py.File(sys.argv[1]) as f, h5py.File(sys.argv[2]) as g:
        B = f["u"][...]
        check_large(g["u"], M)
        one, two = (h["u"].id.get_create_plist().get_filter(0)[2] for h in (f, g))
        assert one[:10] == two[:10] and one[10:12] != two[10:12] and two[0] >> 26 & 1
    """, tmp_path / "one.h5", tmp_path / "two.h5")


def test_h5repack_of_a_whole_file_keeps_the_embedded_model(program, model_env, tmp_path):  # noqa: F811
    """Named without a dataset, the filter is for all of them, the model included, which must not lose a bit."""
    need("h5repack")
    source(program, tmp_path / "in.h5", (16, 64, 65), False)
    words = ",".join(map(str, (1, 1, 0, 0x40590000)))  # an absolute bound of 100
    run("h5repack", "-m", "1", "-f", f"UD=49493,1,4,{words}", "-l", "u:CHUNK=16x64x65", tmp_path / "in.h5", tmp_path / "out.h5", env=model_env)
    program("""
        with h5py.File(sys.argv[1]) as f:
            d = f[f["u"].attrs["augur_model"]]
            assert d.id.get_create_plist().get_nfilters() == 1
            assert bytes(d[...]) == M
    """, tmp_path / "out.h5")


def test_h5repack_without_the_model_warns_and_keeps_the_bound(program, model_env, tmp_path):  # noqa: F811
    need("h5repack")
    program(SETUP + """
    with h5py.File(sys.argv[1], "w") as f:
        f["u"] = B
    """, tmp_path / "in.h5")
    done = run("h5repack", "-f", f"u:{UD}", "-l", "u:CHUNK=16x64x65", tmp_path / "in.h5", tmp_path / "out.h5", env=model_env)
    assert len(warnings(done)) == 1 and "augur_model is not there" in warnings(done)[0]
    program(SETUP + "    with h5py.File(sys.argv[1]) as f: check_large(f['u'], None)", tmp_path / "out.h5")


def test_h5repack_cannot_read_what_needs_a_missing_model(program, model_env, tmp_path):  # noqa: F811
    need("h5repack")
    source(program, tmp_path / "in.h5", (16, 64, 65), True, embed=False)
    done = run("h5repack", "-f", "u:NONE", tmp_path / "in.h5", tmp_path / "out.h5", env=model_env, check=False)
    assert done.returncode != 0
    assert f"sha256:{text_of_models()['M']} was found nowhere" in done.stderr
    env = {**model_env, "AUGUR_MODEL_PATH": str(tmp_path)}
    models.store(tmp_path, models.shifting_model("first"), "wind")
    run("h5repack", "-f", "u:NONE", tmp_path / "in.h5", tmp_path / "out.h5", env=env)


@pytest.mark.parametrize("chunk", ["4,64,65", "32,128,130"], ids=["small", "large"])
@pytest.mark.parametrize("named_by", ["attribute", "words"])
def test_nccopy(program, model_env, tmp_path, chunk, named_by):  # noqa: F811
    need("nccopy")
    program(SETUP + """
    import h5netcdf
    with h5netcdf.File(sys.argv[1], "w") as f:
        f.dimensions = dict(zip(("time", "y", "x"), B.shape))
        f.create_variable("u", ("time", "y", "x"), "f4")[...] = B
    with h5py.File(sys.argv[1], "r+") as f:
        f["u"].attrs["augur_model"] = models.embed(f, M)
    """, tmp_path / "in.nc")
    words = ",".join(map(str, WORDS if named_by == "attribute" else BY_DIGEST))
    env = {**model_env, "AUGUR_MODEL_PATH": str(tmp_path / "models")}
    chunks = ",".join(f"{n}/{c}" for n, c in zip(("time", "y", "x"), chunk.split(",")))
    done = run("nccopy", "-c", chunks, "-F", f"u,49493,{words}", tmp_path / "in.nc", tmp_path / "out.nc", env=env)
    assert warnings(done) == []
    assert "HDF5-DIAG" not in done.stderr
    # Once more without a word about filters: nccopy takes the words from the file.
    done = run("nccopy", tmp_path / "out.nc", tmp_path / "again.nc", env=env)
    assert warnings(done) == []
    program(SETUP + """
    for path in sys.argv[1:]:
        with h5py.File(path) as f:
            check_large(f["u"], M)
            assert bytes(f[np.asarray(f["u"].attrs["augur_model"]).item()][...]) == M
    """, tmp_path / "out.nc", tmp_path / "again.nc")
