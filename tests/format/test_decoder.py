"""The format page is complete: a decoder written from it alone reads what the real encoder wrote, to the same bits."""

from __future__ import annotations

import json
import random
import struct
import zlib
from pathlib import Path

import pytest

pytest.importorskip("zstandard", reason="the second decoder needs zstandard")
pytest.importorskip("xxhash", reason="the second decoder needs xxhash")

import decoder  # noqa: E402
import reading  # noqa: E402
import xxhash  # noqa: E402

GOLDEN = Path(__file__).resolve().parents[2] / "core" / "tests" / "golden"
SUMS = {f[0]: f[1:] for f in (line.split() for line in (GOLDEN / "sums.txt").read_text().splitlines()) if f[0] != "#"}


@pytest.mark.parametrize("name", SUMS)
def test_second_decoder_gives_the_same_bits_as_the_first(name):
    length, expected = SUMS[name]
    models = [file.read_bytes() for file in GOLDEN.glob("*.safetensors")]
    raw = decoder.decode((GOLDEN / f"{name}.augur").read_bytes(), models)
    assert len(raw) == int(length)
    assert xxhash.xxh3_64_hexdigest(raw) == expected


def test_second_decoder_refuses_damage():
    stream = (GOLDEN / "specials.augur").read_bytes()
    for at in random.Random(1).sample(range(len(stream)), 40):
        bad = stream[:at] + bytes([stream[at] ^ 4]) + stream[at + 1 :]
        with pytest.raises(reading.Damaged):
            decoder.decode(bad)
    with pytest.raises(reading.Damaged):
        decoder.decode(stream[:-1])


# Writes datasets with the plugin and prints, for each, its chunk as it lies in the file and the CRC of what HDF5 reads.
WRITE = """
    import json, sys, zlib
    import h5py, numpy as np
    from augur_testing import FILTER_ID, field, words

    cases = json.loads(sys.argv[2])
    with h5py.File(sys.argv[1], "w") as f:
        for i, (shape, dtype, bound, holes) in enumerate(cases):
            data = field(tuple(shape), dtype, seed=i)
            if holes:
                data[data > 1.2] = np.nan
            f.create_dataset(str(i), data=data, chunks=tuple(shape), compression=FILTER_ID, compression_opts=words(*bound))
    with h5py.File(sys.argv[1]) as f:
        for i in range(len(cases)):
            _, chunk = f[str(i)].id.read_direct_chunk((0,) * f[str(i)].ndim)
            print(chunk.hex(), zlib.crc32(f[str(i)][...].tobytes()))
"""


def test_second_decoder_reads_chunks_that_hdf5_wrote(run_python, plugin_env, tmp_path):
    chosen = random.Random(5)
    cases = []
    for dtype in ("<f4", ">f4", "<f8", "<f2", ">i2", "|u1", "<i4"):
        for shape in ((9, 14, 23), (4, 3, 11, 16)):
            integer = dtype[1] in "iu"
            bounds = [("relative", 10.0 ** -chosen.randint(1, 4)), ("absrel", 3.0 if integer else 0.003, 0.01), ("psnr", 45.0)]
            bounds += [] if integer else [("pointwise_relative", 0.02, 0.1)]
            cases += [(shape, dtype, bound, not integer and chosen.random() < 0.5) for bound in bounds]
    output = run_python(WRITE, tmp_path / "chunks.h5", json.dumps(cases), env=plugin_env).stdout
    predicted = 0
    for case, line in zip(cases, output.splitlines(), strict=True):
        chunk, crc = line.split()
        stream = bytes.fromhex(chunk)
        assert zlib.crc32(decoder.decode(stream)) == int(crc), case
        predicted += struct.unpack_from("B", stream, 5)[0] == 2
    assert predicted > len(cases) / 2, "most chunks are to be predicted ones"
