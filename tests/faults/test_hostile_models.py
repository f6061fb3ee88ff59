"""Damaged, foreign and malicious model files: refused with the reason, on write and on read, and never a crash."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "hosts"))
from model_programs import model_env, program, warnings  # noqa: E402, F401

import models  # noqa: E402


def with_header(change) -> bytes:
    """A model whose header (a dict) was changed."""
    good = models.shifting_model()
    (n,) = struct.unpack("<Q", good[:8])
    header = json.loads(good[8:8 + n])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + good[8 + n:]


def with_graph(change) -> bytes:
    """A model whose forecaster (a dict) was changed."""

    def inner(header):
        graphs = json.loads(header["__metadata__"]["graphs"])
        change(graphs["forecaster"])
        header["__metadata__"]["graphs"] = json.dumps(graphs)

    return with_header(inner)


def with_tensor(name: str, dtype: str, value) -> bytes:
    """A model with another tensor `w`, `b`, `m` or `s`."""
    import numpy as np

    tensors = {"w": np.ones((1, 3, 7, 9), "i1"), "b": np.zeros(1, "i4"), "m": np.array([23170], "i4"), "s": np.array([23], "u1")}
    tensors[name] = np.asarray(value, dtype)
    good = models.shifting_model()
    (n,) = struct.unpack("<Q", good[:8])
    return models.safetensors(tensors, json.loads(good[8:8 + n])["__metadata__"])


HOSTILE = {
    "empty": lambda: b"",
    "text": lambda: b"not a model at all, but long enough to have a length",
    "length": lambda: struct.pack("<Q", 1 << 60) + b"{}",
    "cut": lambda: models.shifting_model()[:-5],
    "longer": lambda: models.shifting_model() + bytes(100),
    "offsets": lambda: with_header(lambda h: h["w"].update(data_offsets=[0, 1 << 62])),
    "shape": lambda: with_header(lambda h: h["w"].update(shape=[1 << 31, 1 << 31, 7, 9])),
    "version": lambda: with_header(lambda h: h["__metadata__"].update(version="99")),
    "format": lambda: with_header(lambda h: h["__metadata__"].update(format="another")),
    "no JSON": lambda: with_header(lambda h: h["__metadata__"].update(graphs="{" * 5000)),
    "cycle": lambda: with_graph(lambda g: g["nodes"][1].update({"in": [1]})),
    "forward": lambda: with_graph(lambda g: g["nodes"][1].update({"in": [7]})),
    "unknown layer": lambda: with_graph(lambda g: g["nodes"][1].update(op="exec")),
    "channels": lambda: with_graph(lambda g: g["nodes"][0].update(channels=1 << 40)),
    "no nodes": lambda: with_graph(lambda g: g.update(nodes=[])),
    "many nodes": lambda: with_graph(lambda g: g.update(nodes=g["nodes"] * 5000)),
    "frames": lambda: with_graph(lambda g: g.update(frames=1 << 40)),
    "inputs": lambda: with_graph(lambda g: g.update(frames=3)),
    "overflow": lambda: with_tensor("b", "i4", [2**31 - 1]),
    "multiplier": lambda: with_tensor("m", "i4", [-5]),
    "shift": lambda: with_tensor("s", "u1", [200]),
}

WRITE = """
    model = open("m.safetensors", "rb").read()
    with h5py.File("a.h5", "w") as f:
        u, v = create(f, "u"), create(f, "v", model)
        u.attrs["augur_model"] = models.embed(f, model) if model else "m.safetensors"
        u[...], v[...] = A, A
    with h5py.File("a.h5") as f:
        check(f["u"], None), check(f["v"], None)
"""


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_model_is_not_written_with(program, tmp_path, case):  # noqa: F811
    """The chunks are stored as by the preset balanced, and a warning says why."""
    (tmp_path / "m.safetensors").write_bytes(HOSTILE[case]())
    done = program(WRITE, cwd=tmp_path)
    # One for each dataset, or for the model alone where that is found out by the codec, for each chunk but thrice at most.
    assert len(warnings(done)) in (2, 3), done.stderr
    assert "panic" not in done.stderr and "unexpected" not in done.stderr
    assert case == "empty" or f"sha256:{models.digest(HOSTILE[case]())}" in done.stderr, done.stderr


def test_models_with_flipped_bits_never_crash(program, tmp_path):  # noqa: F811
    done = program("""
        import random
        random.seed(1)
        A = A[:16]
        with h5py.File("a.h5", "w") as f:
            for i in range(300):
                bad = bytearray(M)
                for _ in range(random.choice([1, 1, 1, 5, 50])):
                    bad[random.randrange(8 if i % 5 == 0 else len(bad))] ^= 1 << random.randrange(8)
                d = f.create_dataset(f"u{i}", shape=A.shape, dtype="f4", chunks=CHUNK, compression=49493, compression_opts=models.words(BOUND))
                d.attrs["augur_model"] = models.embed(f, bytes(bad))
                d[...] = A
        with h5py.File("a.h5") as f:
            for i in range(300):
                assert_bound(A, f[f"u{i}"][...], BOUND)
    """, cwd=tmp_path)
    assert "panic" not in done.stderr


CRAFT = """
    import struct
    xxhash = __import__("xxhash")
    def sum32(data):
        return xxhash.xxh3_64_intdigest(data) & 0xffffffff
    def renamed(stream, digest, kind=None, shape=None):
        '''A stream that names another model, of bytes in this shape if one is given.'''
        rank, at = stream[7] & 15, 8 + 4 * (stream[7] & 15)
        modes = stream[at]
        end = at + 33 + (8 if modes >> 4 == 2 else 0)
        head, middle, payload = stream[:8], stream[at:end], stream[end + 32 + 20:]
        trailer = stream[end + 32:end + 48]
        extents = stream[8:at]
        if shape:
            head = head[:6] + bytes([kind, len(shape)])
            extents = struct.pack(f"<{len(shape)}I", *shape)
        new = head + extents + middle + bytes.fromhex(digest) + trailer
        return new + struct.pack("<I", sum32(new)) + payload
    def learned_stream():
        with h5py.File("good.h5", "w") as f:
            d = create(f, "u")
            d.attrs["augur_model"] = models.embed(f, M)
            d[...] = A
            f.flush()
            return d.id.read_direct_chunk((0, 0, 0))[1]
"""


@pytest.mark.parametrize("case", ["overflow", "cycle", "cut", "inputs", "other"])
def test_a_chunk_that_needs_a_hostile_model_is_an_error(program, tmp_path, case):  # noqa: F811
    """Also one that needs a model that works, but is not the one it was written with."""
    pytest.importorskip("xxhash")
    (tmp_path / "m.safetensors").write_bytes(models.shifting_model("x", (1, 2)) if case == "other" else HOSTILE[case]())
    done = program(CRAFT + """
    stream = learned_stream()
    model = open("m.safetensors", "rb").read()
    with h5py.File("a.h5", "w") as f:
        d = create(f, "u")
        models.embed(f, model)
        d[...] = A
        f.flush()
        assert renamed(stream, models.digest(M)) == stream
        d.id.write_direct_chunk((0, 0, 0), renamed(stream, models.digest(model)))
    with h5py.File("a.h5") as f:
        assert_bound(A[16:], f["u"][16:], BOUND)
        try:
            f["u"][:16]
        except OSError:
            print("refused")
    """, cwd=tmp_path)
    assert done.stdout == "refused\n"
    error = warnings(done)[-1]
    assert "cannot read a chunk" in error and "panic" not in error and "unexpected" not in error, error
    if case == "overflow":
        assert "accumulator could overflow" in error, error


def test_a_model_that_needs_itself_to_be_read_ends_the_search(program, tmp_path):  # noqa: F811
    """The embedded model is a chunk of Augur's that names that very model: the search must not go round in circles."""
    pytest.importorskip("xxhash")
    done = program(CRAFT + """
    stream, digest = learned_stream(), models.digest(N)
    with h5py.File("a.h5", "w") as f:
        d = create(f, "u")
        d[...] = A
        f.flush()
        d.id.write_direct_chunk((0, 0, 0), renamed(stream, digest))
        n = 16 * 60 * 61
        g = f.create_dataset(models.GROUP + "/" + digest, shape=(n,), dtype="u1", chunks=(n,), compression=49493, compression_opts=models.words(3.0))
        g[...] = 1
        f.flush()
        g.id.write_direct_chunk((0,), renamed(stream, digest, 5, (n,)))
    """, cwd=tmp_path)
    done = program("""
        with h5py.File("a.h5") as f:
            for read in (lambda: f["u"][:16], lambda: f[models.GROUP + "/" + models.digest(N)][...]):
                try:
                    read()
                except OSError:
                    print("refused")
    """, cwd=tmp_path)
    assert done.stdout == "refused\nrefused\n"
    assert "the chunk belongs to a model that is being looked for" in done.stderr, done.stderr
