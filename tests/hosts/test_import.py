"""`augur import` and `augur export`: images that Pillow writes and numbers that NumPy writes, as h5py sees them, and back.

Needs `augur` on PATH.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import time
import zlib

import h5augur
import h5py
import models
import numpy as np
import pytest
from augur_testing import FILTER_ID, assert_bound
from PIL import Image

assert h5augur.PLUGIN_PATH  # the plugin that h5py reads with


@pytest.fixture
def augur(clean_env, tmp_path):
    """Runs the command in the test's directory; what it printed, or what it says of an error, which leaves nothing behind."""
    if shutil.which("augur") is None:
        pytest.skip("augur is not on PATH")

    def run(*arguments, status=0):
        before = sorted(tmp_path.iterdir())
        done = subprocess.run(["augur", *map(str, arguments)], env=clean_env, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        if status:
            assert sorted(tmp_path.iterdir()) == before and not done.stdout and done.stderr.startswith(("augur: ", "error: "))
        return done.stderr if status else done.stdout

    return run


def noise(shape, dtype="u1", seed=1):
    dtype = np.dtype(dtype)
    bits = np.random.default_rng(seed).integers(0, 256, (*shape, dtype.itemsize), dtype="u1")
    return bits.view(dtype)[..., 0] if dtype.kind in "iu" else np.random.default_rng(seed).normal(size=shape).astype(dtype)


def save(folder, frames, name="img{}.png", **options):
    folder.mkdir(exist_ok=True)
    for i, frame in enumerate(frames):
        (frame if isinstance(frame, Image.Image) else Image.fromarray(frame)).save(folder / name.format(i), **options)
    return folder


def stack(path, frames, **options):
    first, *others = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=others, **options)


def read(path, name="data"):
    with h5py.File(path) as f:
        return f[name][...]


def png(header, rows: bytes = b"") -> bytes:
    """A PNG file with this header (width, height, bits, colour type), whatever Pillow would think of it."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    parts = (b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff(frame, extra=()) -> bytes:
    """An uncompressed big-endian TIFF file whose channels, the first axis, are stored one after the other."""
    channels, height, width = frame.shape
    data = frame.astype(frame.dtype.newbyteorder(">")).tobytes()
    short = lambda *values: struct.pack(f">{len(values)}H", *values)  # noqa: E731
    long = lambda *values: struct.pack(f">{len(values)}I", *values)  # noqa: E731
    plane = len(data) // channels
    entries = [
        (256, 4, long(width)), (257, 4, long(height)), (258, 3, short(*[8 * frame.itemsize] * channels)), (259, 3, short(1)),
        (262, 3, short(2)), (273, 4, long(*[8 + i * plane for i in range(channels)])), (277, 3, short(channels)),
        (278, 4, long(height)), (279, 4, long(*[plane] * channels)), (284, 3, short(2)), *extra,
    ]
    at = 8 + len(data)
    behind = at + 2 + 12 * len(entries) + 4
    directory, values = struct.pack(">H", len(entries)), b""
    for tag, kind, value in entries:
        count = len(value) // {3: 2, 4: 4}[kind]
        if len(value) > 4:
            value, values = long(behind + len(values)), values + value
        directory += struct.pack(">HHI", tag, kind, count) + value.ljust(4, b"\0")
    return b"MM\0*" + long(at) + data + directory + long(0) + values


def test_a_folder_becomes_a_dataset_in_the_order_of_its_numbers(augur, tmp_path):
    frames = noise((12, 20, 31))
    save(tmp_path / "frames", frames)
    (tmp_path / "frames" / "notes.txt").write_text("no picture")
    (tmp_path / "frames" / ".img99.png").write_text("hidden")
    told = augur("import", "frames", "-o", "a.h5")
    assert "12 files" in told and "1 files that are no PNG" in told
    with h5py.File(tmp_path / "a.h5") as f:
        assert list(f) == ["data"] and f["data"].chunks == (12, 20, 31) and f["data"].id.get_create_plist().get_nfilters() == 0
        np.testing.assert_array_equal(f["data"][...], frames)
    augur("import", *[f"frames/img{i}.png" for i in (10, 2, 0)], "-o", "b.h5")
    np.testing.assert_array_equal(read(tmp_path / "b.h5"), frames[[0, 2, 10]])
    augur("import", *[f"frames/img{i}.png" for i in (10, 2, 0)], "-o", "c.h5", "--keep-order")
    np.testing.assert_array_equal(read(tmp_path / "c.h5"), frames[[10, 2, 0]])


@pytest.mark.parametrize("bound", [(), ("--lossless",), ("--absolute", "2")])
def test_colours_become_an_axis(augur, tmp_path, bound):
    frames = np.cumsum(noise((40, 24, 36, 3), "u1") % 7, axis=0, dtype="u1")
    save(tmp_path / "rgb", frames)
    told = json.loads(augur("import", "rgb", "-o", "a.h5:/camera/left", "--json", "--chunks", "16,3,24,18", *bound))
    assert told["shape"] == [40, 3, 24, 36] and told["chunk"] == [16, 3, 24, 18] and told["dtype"] == "uint8"
    with h5py.File(tmp_path / "a.h5") as f:
        data = f["camera/left"]
        filters = data.id.get_create_plist()
        assert [filters.get_filter(i)[0] for i in range(filters.get_nfilters())] == ([FILTER_ID] if bound else [])
        assert data.chunks == (16, 3, 24, 18) and told["stored_bytes"] == data.id.get_storage_size()
        assert_bound(frames.transpose(0, 3, 1, 2), data[...], 2 if "--absolute" in bound else 0)


@pytest.mark.parametrize("dtype, options", [
    ("u1", {}), ("<u2", {}), (">u2", {}), ("f4", {}), ("u1", dict(compression="tiff_lzw")), ("<u2", dict(compression="tiff_lzw")),
    (">u2", dict(compression="tiff_adobe_deflate")), ("<u2", dict(big_tiff=True)),
])
def test_pages_of_a_tiff_follow_each_other(augur, tmp_path, dtype, options):
    frames = noise((9, 25, 30), dtype)
    stack(tmp_path / "a.tif", frames[:6], **options)
    stack(tmp_path / "b.tiff", frames[6:], **options)
    augur("import", "b.tiff", "a.tif", "-o", "a.h5")
    back = read(tmp_path / "a.h5")
    assert back.dtype == frames.dtype.newbyteorder("<")
    np.testing.assert_array_equal(back, frames)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_a_tiff_may_store_its_colours_apart(augur, tmp_path, dtype):
    frame = noise((3, 10, 14), dtype)
    extra = [(339, 3, struct.pack(">3H", 3, 3, 3))] if dtype == "f4" else []
    (tmp_path / "a.tif").write_bytes(tiff(frame, extra))
    augur("import", "a.tif", "-o", "a.h5")
    np.testing.assert_array_equal(read(tmp_path / "a.h5")[0], frame)


def test_deep_pngs_keep_sixteen_bits(augur, tmp_path):
    grey, rgb = noise((3, 11, 17), "u2"), noise((2, 5, 7, 3), "u2")
    save(tmp_path / "grey", grey)
    augur("import", "grey", "-o", "grey.h5")
    np.testing.assert_array_equal(read(tmp_path / "grey.h5"), grey)
    for i, frame in enumerate(rgb):
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in frame)
        (tmp_path / f"rgb{i}.png").write_bytes(png((7, 5, 16, 2), rows))
    augur("import", "rgb0.png", "rgb1.png", "-o", "rgb.h5")
    np.testing.assert_array_equal(read(tmp_path / "rgb.h5"), rgb.transpose(0, 3, 1, 2))


def test_palettes_bits_and_opaque_layers_are_resolved(augur, tmp_path):
    colours = noise((8, 9, 3)) & 0x80
    rgba = np.dstack([colours, np.full((8, 9), 255, "u1")])
    folder = save(tmp_path / "rgb", [colours, rgba, Image.fromarray(colours).quantize(8, dither=Image.Dither.NONE)])
    assert Image.open(folder / "img2.png").mode == "P"
    assert "opacity was left out" in augur("import", "rgb", "-o", "rgb.h5")
    for frame in read(tmp_path / "rgb.h5"):
        np.testing.assert_array_equal(frame, colours.transpose(2, 0, 1))
    bits = noise((8, 9)) > 127
    save(tmp_path / "bits", [bits, np.where(bits, np.uint8(255), np.uint8(0))])
    augur("import", "bits", "-o", "bits.h5")
    np.testing.assert_array_equal(read(tmp_path / "bits.h5"), np.broadcast_to(bits * np.uint8(255), (2, 8, 9)))


def test_transparency_is_not_lost_unasked(augur, tmp_path):
    grey = noise((2, 8, 9))
    alpha = np.dstack([grey[0], grey[1]])
    save(tmp_path / "a", [Image.fromarray(grey[0]), Image.fromarray(alpha, "LA")])
    assert "img1.png" in (told := augur("import", "a", "-o", "a.h5", status=2)) and "--drop-alpha" in told
    augur("import", "a", "-o", "a.h5", "--drop-alpha")
    np.testing.assert_array_equal(read(tmp_path / "a.h5"), grey[[0, 0]])


def test_jpegs_are_what_others_see(augur, tmp_path):
    y, x = np.mgrid[:40, :50]
    grey = (100 + 60 * np.sin(x / 7) + 0.8 * y).astype("u1")
    for mode, frame, options in (("L", grey, {}), ("RGB", np.dstack([grey, grey // 2, 255 - grey]), dict(progressive=True))):
        folder = save(tmp_path / mode, [frame], "a.jpg", quality=95, **options)
        augur("import", mode, "-o", f"{mode}.h5")
        seen = np.asarray(Image.open(folder / "a.jpg"))
        back = read(tmp_path / f"{mode}.h5")[0]
        error = np.abs((back if mode == "L" else back.transpose(1, 2, 0)).astype(int) - seen)
        assert error.max() <= 3 and error.mean() < 0.7


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
@pytest.mark.parametrize("order", "<>")
def test_raw_numbers_keep_their_bits(augur, tmp_path, dtype, order):
    values = noise((5, 6, 7), dtype).astype(order + dtype)
    values.tofile(tmp_path / "u.bin")
    big = ["--big-endian"] if order == ">" else []
    augur("import", "u.bin", "-o", "a.h5:/u", "--shape", "5,6,7", "--dtype", values.dtype.name, *big)
    for i, step in enumerate(values):
        step.tofile(tmp_path / f"step{i}.raw")
    steps = [f"step{i}.raw" for i in range(5)]
    augur("import", *steps, "-o", "b.h5:/u", "--shape", "6x7", "--dtype", dtype[0] + str(8 * int(dtype[1])), *big)
    for name in ("a.h5", "b.h5"):
        back = read(tmp_path / name, "u")
        assert back.dtype == values.dtype and back.tobytes() == values.tobytes()
        told = augur("export", name, "-o", f"{name}.{dtype[0]}{8 * int(dtype[1])}")
        assert "5 x 6 x 7" in told and ("--big-endian" in told) == (order == ">" and dtype[1] != "1")
    assert (tmp_path / "u.bin").read_bytes() == next(tmp_path.glob("a.h5.*")).read_bytes()


def test_large_raw_files_go_by_in_boxes(augur, tmp_path):
    values = noise((50, 181, 200), "f4")
    values.tofile(tmp_path / "u.bin")
    for i, chunk in enumerate(("16,181,200", "7,50,64", "50,1,200")):
        augur("import", "u.bin", "-o", f"{i}.h5", "--shape", "50,181,200", "--dtype", "f32", "--chunk", chunk)
        np.testing.assert_array_equal(read(tmp_path / f"{i}.h5"), values)
        augur("export", f"{i}.h5", "-o", f"{i}.raw", "--frames", "3:40")
        np.testing.assert_array_equal(np.fromfile(tmp_path / f"{i}.raw", "f4"), values[3:40].ravel())


def test_a_model_travels_with_what_it_predicts(augur, tmp_path):
    field = models.travelling()
    field.tofile(tmp_path / "u.f32")
    model = models.shifting_model()
    (tmp_path / "m.safetensors").write_bytes(model)
    shape = ",".join(map(str, field.shape))
    augur("import", "u.f32", "-o", "u.h5:/u", "--shape", shape, "--dtype", "f32", "--absolute", 0.05, "--model", "m.safetensors")
    with h5py.File(tmp_path / "u.h5") as f:
        assert f["u"].attrs["augur_model"].decode() == f"/_augur/models/{models.digest(model)}"
        assert models.chunk_models(f["u"]) == [models.digest(model)] * len(models.chunk_models(f["u"]))
        assert_bound(field, f["u"][...], 0.05)
    learned = "import", "u.f32", "-o", "v.h5", "--shape", shape, "--dtype", "f32", "--absolute", 0.05, "--preset", "learned"
    assert "--model" in augur(*learned, status=2)


def damaged(folder, tmp_path):
    """A folder with a second picture that is damaged in some way."""
    frame = noise((30, 30, 3))
    save(folder, [frame])
    kinds = {}
    for kind in ("png", "jpg", "tif"):
        save(tmp_path / "whole", [frame], "whole." + kind)
        whole = (tmp_path / "whole" / f"whole.{kind}").read_bytes()
        kinds[f"cut.{kind}"] = whole[: len(whole) * 2 // 3]
    whole = (folder / "img0.png").read_bytes()
    kinds["flipped.png"] = whole[:900] + bytes([whole[900] ^ 1]) + whole[901:]
    kinds["empty.png"] = b""
    kinds["text.png"] = b"not a picture at all"
    kinds["huge.png"] = png((2**31 - 1, 2**31 - 1, 16, 6))
    kinds["sparse.png"] = png((30000, 30000, 8, 2))
    kinds["none.png"] = png((0, 10, 8, 0))
    return kinds


def test_a_damaged_picture_is_named(augur, tmp_path):
    folder = tmp_path / "a"
    for name, content in damaged(folder, tmp_path).items():
        (folder / name).write_bytes(content)
        assert f"a/{name}" in augur("import", "a", "-o", "a.h5", status=2), name
        (folder / name).unlink()
    augur("import", "a", "-o", "a.h5")


@pytest.mark.parametrize("other", [noise((20, 31)), noise((30, 21)), noise((20, 30), "u2"), noise((20, 30, 3))])
def test_pictures_that_differ_are_named_both(augur, tmp_path, other):
    save(tmp_path / "a", [noise((20, 30)), noise((20, 30)), other])
    told = augur("import", "a", "-o", "a.h5", status=2)
    assert "a/img0.png" in told and "a/img2.png" in told and "20" in told
    first, pages = Image.fromarray(noise((20, 30))), [Image.fromarray(noise((20, 30))), Image.fromarray(other)]
    first.save(tmp_path / "s.tif", save_all=True, append_images=pages)
    assert "s.tif (page 3)" in augur("import", "s.tif", "-o", "a.h5", status=2)


def test_wrong_requests_are_told(augur, tmp_path):
    save(tmp_path / "a", noise((3, 20, 30)))
    (tmp_path / "empty").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "x.dat").write_bytes(bytes(100))
    noise((4, 5, 6), "f4").tofile(tmp_path / "u.bin")
    noise((5, 7), "f4").tofile(tmp_path / "v.bin")
    (tmp_path / "old.h5").write_text("kept")
    raw = "--dtype", "f32", "--shape"
    for arguments, parts in (
        (["empty", "-o", "x.h5"], ["empty holds no PNG, TIFF or JPEG picture", "it is empty"]),
        (["others", "-o", "x.h5"], ["1 other files", "--shape"]),
        (["missing", "-o", "x.h5"], ["missing: no such file or folder"]),
        (["u.bin", "-o", "x.h5"], ["u.bin: it is no PNG, TIFF or JPEG"]),
        (["u.bin", "-o", "x.h5", *raw, "4,5,7"], ["u.bin has 480 bytes, expected 560", "4 x 5 x 7 of float32"]),
        (["u.bin", "-o", "x.h5", *raw, "5,6"], ["4 steps of that shape would be --shape 4,5,6"]),
        (["u.bin", "v.bin", "-o", "x.h5", *raw, "4,5,6"], ["v.bin has 140 bytes, expected 480"]),
        (["u.bin", "-o", "x.h5", *raw, "4294967296,4294967296,4294967296"], ["more than any file holds"]),
        (["u.bin", "-o", "x.h5", *raw, "4,0,6"], ["at least 1"]),
        (["u.bin", "-o", "x.h5", "--shape", "4,5,6"], ["--dtype"]),
        (["u.bin", "-o", "x.h5", "--shape", "4,5,6", "--dtype", "f31"], ["f16, f32, f64"]),
        (["u.bin", "-o", "x.h5", "--shape", "2,5,6", "--dtype", "i64", "--absolute", "1"], ["no int64"]),
        (["others", "-o", "x.h5", *raw, "4,5,6"], ["others/x.dat has 100 bytes"]),
        (["empty", "-o", "x.h5", *raw, "4,5,6"], ["empty holds no file"]),
        (["a", "-o", "old.h5"], ["old.h5 exists", "--force"]),
        (["a", "-o", "empty"], ["is a directory"]),
        (["a", "-o", "no/x.h5"], ["there is no directory no"]),
        (["a", "-o", "x.h5:/"], ["no name for a dataset"]),
        (["a", "-o", "x.h5", "--chunk", "1,20"], ["2 extents", "3 axes"]),
        (["a", "-o", "x.h5", "--chunk", "1,21,30"], ["21 elements along axis 1", "1 to 20"]),
        (["a", "-o", "x.h5", "--preset", "fast"], ["say what may be lost"]),
        (["a", "-o", "x.h5", "--time-axis", "3"], ["--time-axis 3 does not exist"]),
    ):
        told = augur("import", *arguments, status=2)
        assert all(part in told for part in parts), (arguments, told)
    augur("import", "a", "-o", "old.h5", "--force")
    assert read(tmp_path / "old.h5").shape == (3, 20, 30)


@pytest.mark.parametrize("shape, dtype, kinds", [
    ((12, 20, 30), "u1", ("png", "tiff", "raw", "a.tif", "a.raw")),
    ((12, 20, 30), ">u2", ("png", "tiff", "raw", "a.tif", "a.raw")),
    ((3, 3, 20, 30), "u1", ("png", "tiff", "a.tif")),
    ((3, 3, 20, 30), "u2", ("png", "tiff", "a.tif")),
    ((3, 3, 20, 30), "f4", ("tiff", "a.tif")),
    ((4, 20, 30), "f4", ("tiff", "raw", "a.tif")),
    ((4, 20, 30), "f8", ("tiff", "raw")),
    ((4, 20, 30), "i2", ("tiff", "raw")),
    ((4, 20, 30), "u4", ("tiff", "raw")),
])
def test_there_and_back_again_is_the_same(augur, tmp_path, shape, dtype, kinds):
    values = noise(shape, dtype)
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f.create_dataset("data", data=values, chunks=(2, *shape[1:-1], 17))
    native = values.astype(values.dtype.newbyteorder("="))
    for kind in kinds:
        target, how = (kind, []) if "." in kind else (f"as_{kind}", ["--format", kind])
        augur("export", "a.h5", "-o", target, *how)
        raw = ["--shape", ",".join(map(str, shape if "." in kind else shape[1:])), "--dtype", values.dtype.name]
        raw = raw + ["--big-endian"] if dtype[0] == ">" else raw
        augur("import", target, "-o", "b.h5", "--force", *(raw if "raw" in kind else []))
        back = read(tmp_path / "b.h5")
        np.testing.assert_array_equal(back, values)
        assert ("raw" in kind and back.dtype == values.dtype) or back.dtype == native.dtype
    if dtype != "f4" and len(shape) == 3 and "png" in kinds:
        for i, frame in enumerate(native):
            np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "as_png" / f"frame_{i:04}.png")), frame)
            np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "as_tiff" / f"frame_{i:04}.tif")), frame)


def test_compressed_frames_are_exported_by_range_and_name(augur, tmp_path):
    frames = np.cumsum(noise((40, 24, 36), "u1") % 5, axis=0, dtype="u1")
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f.create_dataset("g/left", data=frames, chunks=(16, 24, 36), **h5augur.Augur(lossless=True))
        f["other"] = frames
        f["text"] = "no numbers"
    told = json.loads(augur("export", "a.h5:/g/left", "-o", "out", "--frames", "9:12", "--prefix", "left-", "--json"))
    assert told["frames"] == [9, 12] and told["format"] == "png" and told["files"] == 3
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["left-0009.png", "left-0010.png", "left-0011.png"]
    for i in range(9, 12):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / f"left-{i:04}.png")), frames[i])
    augur("export", "a.h5:/g/left", "-o", "one.png", "--frames", ":1")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "one.png")), frames[0])
    augur("export", "a.h5:/g/left", "-o", "out", "--frames", "11:13", "--prefix", "left-", "--force")
    assert len(list((tmp_path / "out").iterdir())) == 4
    augur("export", "a.h5:/g/left", "-o", "lossy", "--format", "jpeg", "--quality", 100)
    seen = np.asarray(Image.open(tmp_path / "lossy" / "frame_0039.jpg")).astype(int)
    assert np.abs(seen - frames[39]).max() < 12
    for arguments, parts in (
        (["a.h5", "-o", "x"], ["several datasets", "a.h5:/g/left", "/other"]),
        (["a.h5:/text", "-o", "x"], ["/text holds", "string"]),
        (["a.h5:/nothing", "-o", "x"], ["no dataset /nothing", "/g/left"]),
        (["a.h5:/other", "-o", "x", "--frames", "39:41"], ["--frames 39:41 does not exist", "40 frames"]),
        (["a.h5:/other", "-o", "x", "--frames", "7"], ["A:B expected"]),
        (["a.h5:/other", "-o", "x.png"], ["one image", "40 frames"]),
        (["a.h5:/other", "-o", "out"], ["out is not empty", "--force"]),
        (["a.h5:/other", "-o", "one.png", "--frames", ":1"], ["one.png exists", "--force"]),
        (["a.h5:/other", "-o", "x/y"], ["there is no directory x"]),
        (["a.h5:/other", "-o", "x", "--prefix", "a/b"], ["--prefix"]),
        (["a.h5:/other", "-o", "x", "--time-axis", "3"], ["--time-axis 3 does not exist"]),
        (["out/left-0009.png", "-o", "x"], ["is not an HDF5"]),
    ):
        told = augur("export", *arguments, status=2)
        assert all(part in told for part in parts), (arguments, told)


def test_fields_are_scaled_for_the_eye(augur, tmp_path):
    field = noise((6, 20, 30), "f4")
    field[0, 0, :3] = np.nan, np.inf, 1e20
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["u"] = field
        f.create_dataset("v", data=np.moveaxis(field, 0, 2))
        f["levels"] = field.reshape(1, 6, 20, 30)
    finite = field[np.isfinite(field) & (field < 1e19)]
    for name, scale, axis in (("u", None, []), ("u", (-1.0, 1.5), []), ("v", None, ["--time-axis", "2"])):
        low, high = scale or (finite.min(), finite.max())
        augur("export", f"a.h5:/{name}", "-o", "out", "--scale", f"{low},{high}" if scale else "auto", *axis)
        expected = np.clip(np.rint((field.astype("f8") - low) * (255 / (float(high) - float(low)))), 0, 255)
        for i in range(6):
            seen = np.asarray(Image.open(tmp_path / "out" / f"frame_{i:04}.png"))
            np.testing.assert_array_equal(seen, np.nan_to_num(expected[i], nan=0))
        shutil.rmtree(tmp_path / "out")
    assert "PNG holds uint8 and uint16" in augur("export", "a.h5:/u", "-o", "x", "--format", "png", status=2)
    assert "--format raw" in augur("export", "a.h5:/levels", "-o", "x", "--scale", "auto", status=2)
    assert "MIN must be less" in augur("export", "a.h5:/u", "-o", "x", "--scale", "2,1", status=2)
    augur("export", "a.h5:/v", "-o", "steps", "--time-axis", "2")
    np.testing.assert_array_equal(np.fromfile(tmp_path / "steps" / "frame_0004.raw", "f4"), field[4].ravel())


def test_colours_may_come_last(augur, tmp_path):
    frames = noise((3, 20, 30, 3), "u2")
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["data"] = frames
    augur("export", "a.h5", "-o", "out")
    augur("import", "out", "-o", "b.h5")
    np.testing.assert_array_equal(read(tmp_path / "b.h5"), frames.transpose(0, 3, 1, 2))


def test_a_damaged_dataset_leaves_no_half_export(augur, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as f:
        d = f.create_dataset("data", data=noise((8, 20, 30)), chunks=(2, 20, 30), **h5augur.Augur(lossless=True))
        at = d.id.get_chunk_info(3).byte_offset
    content = bytearray((tmp_path / "a.h5").read_bytes())
    content[at + 40] ^= 255
    (tmp_path / "a.h5").write_bytes(content)
    for target in ("out", "a.tif", "a.raw"):
        assert "a.h5:/data was not exported" in augur("export", "a.h5", "-o", target, status=2)


@pytest.mark.parametrize("command", [
    ["import", "noise.bin", "-o", "old.h5", "--force", "--shape", "40,100,100", "--dtype", "u8"],
    ["export", "noise.h5", "-o", "out"],
    ["export", "noise.h5", "-o", "new.tif"],
    ["export", "noise.h5", "-o", "new.raw"],
])
def test_a_full_disk_leaves_nothing(augur, clean_env, tmp_path, command):
    values = noise((40, 100, 100), "u1") if command[0] == "import" else noise((4, 400, 500), "u1")
    values.tofile(tmp_path / "noise.bin")
    with h5py.File(tmp_path / "noise.h5", "w") as f:
        f["data"] = values
    (tmp_path / "old.h5").write_text("kept")
    before = sorted(tmp_path.iterdir())
    # A limit to the size of files stands in for the full disk: writing beyond it is an error, not a signal.
    limited = ["sh", "-c", 'trap "" XFSZ; ulimit -f 150; exec augur "$@"', "augur", *command]
    done = subprocess.run(limited, cwd=tmp_path, env=clean_env, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("augur: ") and "not" in done.stderr, done.stderr
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "old.h5").read_text() == "kept"


@pytest.mark.parametrize("target", ["out", "out.tif"])
def test_an_interrupted_export_leaves_nothing(augur, clean_env, tmp_path, target):
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["data"] = noise((200, 400, 500), "u2")
    running = subprocess.Popen(["augur", "export", "a.h5", "-o", target], cwd=tmp_path, env=clean_env, stderr=subprocess.PIPE, text=True)
    begun = time.monotonic()
    while not any(p.name.startswith(".out") for p in tmp_path.iterdir()):
        assert running.poll() is None and time.monotonic() < begun + 30, running.stderr.read()
        time.sleep(0.005)
    time.sleep(0.02)
    running.terminate()
    running.communicate(timeout=60)
    assert running.returncode == 128 + 15
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
