"""Strict: a model that is found nowhere is refused when the dataset is created, where that can be known."""

from __future__ import annotations

from model_programs import model_env, program, text_of_models, warnings  # noqa: F401


def test_a_digest_that_is_nowhere_is_refused(program, tmp_path, tmp_h5):  # noqa: F811
    done = program("""
        with h5py.File(sys.argv[1], "w") as f:
            try:
                create(f, "u", M, strict=True)
            except (ValueError, RuntimeError, OSError) as error:
                print("refused:", error)
            assert "u" not in f
            create(f, "v", M)[...] = A  # without strict: stored without a model
            f["plain"] = 1
        with h5py.File(sys.argv[1]) as f:
            check(f["v"], None)
    """, tmp_h5)
    assert "refused:" in done.stdout
    error, warning = warnings(done)
    prefix = text_of_models()["M"][:32]
    for expected in ("the filter cannot be used for this dataset", f"sha256:{prefix}... was found nowhere", f"/_augur/models in {tmp_h5} (not there)",
                     "AUGUR_MODEL_PATH (not set)", f"{tmp_path}/store (the user's store)"):
        assert expected in error, (expected, error)
    assert warning.startswith("augur: warning: /v in ") and f"sha256:{prefix}..." in warning


def test_a_digest_that_is_somewhere_is_taken(program, tmp_path, tmp_h5):  # noqa: F811
    for place in ("embedded", "path", "store"):
        done = program("""
            place, folder = sys.argv[2:]
            with h5py.File(sys.argv[1], "w") as f:
                if place == "embedded":
                    models.embed(f, N), models.embed(f, M)
                else:
                    models.store(folder + "/" + place, M, "any name" if place == "path" else None)
                create(f, "u", M, strict=True)[...] = A
            with h5py.File(sys.argv[1]) as f:
                check(f["u"], M)
                words = f["u"].id.get_create_plist().get_filter(0)[2]
                assert words[0] >> 26 & 1 and words[6:10] == models.words(BOUND, M)[6:10], words
            shutil.rmtree(folder + "/path", True)
            shutil.rmtree(folder + "/store", True)
        """, tmp_h5, place, tmp_path, env={"AUGUR_MODEL_PATH": str(tmp_path / "path")})
        assert warnings(done) == [], place


def test_without_a_digest_the_attribute_cannot_be_seen_in_time(program, tmp_h5):  # noqa: F811
    """The dataset does not exist yet when it is decided: what is missing later is a warning, as without strict."""
    done = program("""
        with h5py.File(sys.argv[1], "w") as f:
            u, v = create(f, "u", strict=True), create(f, "v", strict=True)
            u.attrs["augur_model"] = models.embed(f, M)
            u[...], v[...] = A, A
        with h5py.File(sys.argv[1]) as f:
            check(f["u"], M), check(f["v"], None)
    """, tmp_h5)
    (line,) = warnings(done)
    assert "/v in" in line and "augur_model is not there" in line


def test_a_model_or_strictness_with_another_preset_is_refused(program, tmp_h5):  # noqa: F811
    done = program("""
        with h5py.File(sys.argv[1], "w") as f:
            for words in (models.words(BOUND, M), models.words(BOUND, None, True)):
                for preset in (0, 1, 2):
                    words = (words[0] & ~0xff00 | preset << 8, *words[1:])
                    try:
                        f.create_dataset("u", shape=A.shape, dtype="f4", chunks=CHUNK, compression=49493, compression_opts=words)
                    except (ValueError, RuntimeError, OSError):
                        continue
                    raise AssertionError(words)
    """, tmp_h5)
    lines = warnings(done)
    for text in ("words 6 to 9 name a model, which the preset balanced does not use", "strict about the model (bit 26), but the preset lossless"):
        assert any(text in line for line in lines), lines


def test_fill_values_that_are_written_early_need_no_model(program, tmp_h5):  # noqa: F811
    """With early allocation HDF5 calls the filter while it creates the dataset, which is not to be found then."""
    done = program("""
        with h5py.File(sys.argv[1], "w") as f:
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_chunk(CHUNK)
            plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            plist.set_fill_time(h5py.h5d.FILL_TIME_ALLOC)
            plist.set_filter(49493, h5py.h5z.FLAG_OPTIONAL, models.words(BOUND))
            h5py.h5d.create(f.id, b"u", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple(A.shape), plist)
            f["u"].attrs["augur_model"] = models.embed(f, M)
            f["u"][...] = A
        with h5py.File(sys.argv[1]) as f:
            check(f["u"], M)
    """, tmp_h5)
    assert warnings(done) == []
