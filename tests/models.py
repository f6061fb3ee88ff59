"""A model made by hand, and a field that it forecasts: for tests that need a model without training one.

The model moves the picture by SHIFT rows and columns per step. That is farther than the patches of the preset
`balanced` reach, so that only the model makes uncorrelated noise that travels so small. It needs numpy alone.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import numpy as np

ATTRIBUTE = "augur_model"
GROUP = "/_augur/models"
SHIFT = (3, 4)


def safetensors(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """A safetensors file: length of the header, the header as JSON, the tensors one after the other."""
    kinds = {"int8": "I8", "int16": "I16", "int32": "I32", "uint8": "U8"}
    header, data = {"__metadata__": metadata}, b""
    for name, tensor in tensors.items():
        raw = np.ascontiguousarray(tensor).tobytes()
        header[name] = {"dtype": kinds[tensor.dtype.name], "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def shifting_model(name: str = "shift", shift: tuple[int, int] = SHIFT) -> bytes:
    """A model whose forecast is the last frame moved by `shift` rows and columns; `name` tells models apart."""
    dy, dx = abs(shift[0]), abs(shift[1])
    # Three planes: position, change, step. The last frame moved, less the last frame where it was.
    weight = np.zeros((1, 3, 2 * dy + 1, 2 * dx + 1), "i1")
    weight[0, 0, dy - shift[0], dx - shift[1]] = 64
    weight[0, 0, dy, dx] -= 64
    # Positions have the standard deviation 4096, changes the root mean square 1024, which is sqrt 2 standard
    # deviations where neighbours have nothing to do with one another: 1 / (4 sqrt 2) / 64 = 23170 / 2^23.
    tensors = {"w": weight, "b": np.zeros(1, "<i4"), "m": np.array([23170], "<i4"), "s": np.array([23], "u1")}
    conv = {"op": "conv2d", "in": [0], "weight": "w", "bias": "b", "multiplier": "m", "shift": "s", "stride": 1,
            "clamp": [-32767, 32767], "type": "i16"}
    graph = {"frames": 2, "levels": 0, "nodes": [{"op": "input", "channels": 3, "type": "i16"}, conv]}
    return safetensors(tensors, {
        "format": "augur-model", "version": "1", "graphs": json.dumps({"forecaster": graph}), "name": name,
        "architecture": "one convolution", "license": "MIT OR Apache-2.0",
    })


def correcting_model(name: str = "bend") -> bytes:
    """A corrector: to what the linear prediction says comes half of how far the neighbours in a row of the last frame lie
    apart, less half of that of its neighbours in a column, counted from the last frame itself: what `bent` does."""
    channels, hidden = 71, 5
    here, above, left, right, below = 16, 17, 18, 19, 20  # among the inputs: the patch in the first reference
    first = np.zeros((hidden, channels), "i1")
    for k, (a, b) in enumerate([(left, right), (right, left), (above, below), (below, above)]):
        first[k, a], first[k, b] = 1, -1
    first[4, here] = 1
    tensors = {"first.w": first, "first.b": np.array([0, 0, 0, 0, 8192], "<i4"), "last.w": np.array([[2, 2, -2, -2, 4]], "i1"),
               "last.b": np.array([-32768], "<i4")}
    for prefix, n in (("first", hidden), ("last", 1)):
        tensors |= {f"{prefix}.m": np.full(n, 16384, "<i4"), f"{prefix}.s": np.full(n, 14, "u1")}

    def dense(prefix, source, least):
        return {"op": "dense", "in": [source], "weight": f"{prefix}.w", "bias": f"{prefix}.b", "multiplier": f"{prefix}.m",
                "shift": f"{prefix}.s", "clamp": [least, 32767], "type": "i16"}

    graph = {"nodes": [{"op": "input", "channels": channels, "type": "i16"}, dense("first", 0, 0), dense("last", 1, -32768)]}
    return safetensors(tensors, {
        "format": "augur-model", "version": "1", "graphs": json.dumps({"corrector": graph}), "name": name,
        "architecture": "how neighbours lie", "license": "MIT OR Apache-2.0",
    })


def bent(steps: int = 32, ny: int = 60, nx: int = 61, seed: int = 1) -> np.ndarray:
    """Noise whose steps no linear filter predicts (t, y, x): to each value comes half of how far its neighbours in a row lie
    apart, less half of that of its neighbours in a column. As it grows by that, every eighth step is new."""
    rng = np.random.default_rng(seed)
    frames = []
    for t in range(steps):
        if t % 8 == 0:
            frame = rng.uniform(-1, 1, (ny, nx))
        frames.append(frame)
        wide = np.pad(frame, 1, mode="reflect")
        row, column = np.abs(wide[1:-1, :-2] - wide[1:-1, 2:]), np.abs(wide[:-2, 1:-1] - wide[2:, 1:-1])
        frame = frame + 0.5 * (row - column)
    return np.stack(frames).astype("f4")


def recurrent_model(name: str = "memory", channels: int = 1, changes: bool = False, shift: tuple[int, int] = SHIFT) -> bytes:
    """A model that remembers: its state is the position that it read last, moved once; that moved once more and the new
    one moved, half of each, are the forecast. With `changes` it gives the change, otherwise the frame itself (as TEZip's
    networks do). `channels` frames of a time step are predicted together, each from its own past."""
    dy, dx = abs(shift[0]), abs(shift[1])
    planes = 2 * channels if changes else channels
    moved, here = (dy - shift[0], dx - shift[1]), (dy, dx)
    forecast = np.zeros((channels, planes + channels, 2 * dy + 1, 2 * dx + 1), "i1")
    remember = np.zeros_like(forecast)
    for c in range(channels):
        forecast[(c, c, *moved)] = forecast[(c, planes + c, *moved)] = 32
        if changes:
            forecast[(c, c, *here)] -= 64
        remember[(c, c, *moved)] = 64
    # Positions of which 64 of 64 are one, or a change from them as in the model above.
    multiplier, down = (23170, 23) if changes else (16384, 20)
    tensors = {"out.w": forecast, "next.w": remember, "b": np.zeros(channels, "<i4")}
    for prefix, m, s in (("out", multiplier, down), ("next", 16384, 20)):
        tensors |= {f"{prefix}.m": np.full(channels, m, "<i4"), f"{prefix}.s": np.full(channels, s, "u1")}

    def conv(prefix):
        return {"op": "conv2d", "in": [2], "weight": f"{prefix}.w", "bias": "b", "multiplier": f"{prefix}.m", "shift": f"{prefix}.s",
                "stride": 1, "clamp": [-32767, 32767], "type": "i16"}

    graph = {"channels": channels, "planes": 2 if changes else 1, "outputs": [3, 4], "nodes": [
        {"op": "input", "channels": planes, "type": "i16"}, {"op": "input", "channels": channels, "type": "i16"},
        {"op": "concat", "in": [0, 1]}, conv("out"), conv("next")]}
    return safetensors(tensors, {
        "format": "augur-model", "version": "1", "graphs": json.dumps({"recurrent": graph}), "name": name,
        "architecture": "one convolution with a memory", "license": "MIT OR Apache-2.0",
    })


def signs(points: int) -> np.ndarray:
    """Two patterns of -1 and 1 that have nothing in common, for blocks of an even number of points: (2, points)."""
    first = np.where(np.random.default_rng(7).random(points) < 0.5, -1, 1).astype("i1")
    return np.stack([first, first * np.where(np.arange(points) % 2, -1, 1).astype("i1")])


def autoencoder(block: tuple[int, int, int], kind: str = "swae", third: str | None = None, name: str = "patterns") -> bytes:
    """An autoencoder of blocks that are sums of two patterns: its latents are how much there is of each, 8192 for half the
    chunk's range. `kind` and `third` are as in docs/models.md; blocks have 16 to 1024 points."""
    points = int(np.prod(block))
    patterns = signs(points)
    ends = {
        "encoder": (points, 2, patterns, 16384 * 32 // points, 20),
        # 64 of 64 are one; twice the latents are the pattern.
        "decoder": (2, points, 64 * patterns.T, 16384, 19),
    }
    tensors, graphs = {}, {}
    for role, (inputs, outputs, weight, multiplier, shift) in ends.items():
        tensors |= {f"{role}.w": weight, f"{role}.b": np.zeros(outputs, "<i4"), f"{role}.m": np.full(outputs, multiplier, "<i4"),
                    f"{role}.s": np.full(outputs, shift, "u1")}
        dense = {"op": "dense", "in": [0], "weight": f"{role}.w", "bias": f"{role}.b", "multiplier": f"{role}.m", "shift": f"{role}.s",
                 "type": "i16"}
        graphs[role] = {"block": list(block), "kind": kind, **({"third": third} if third else {}),
                        "nodes": [{"op": "input", "channels": inputs, "type": "i16", "size": [1, 1, 1]}, dense]}
    return safetensors(tensors, {
        "format": "augur-model", "version": "1", "graphs": json.dumps(graphs), "name": name,
        "architecture": "two patterns", "license": "MIT OR Apache-2.0",
    })


def patterned(shape: tuple[int, ...], block: tuple[int, int, int], noise: float = 0.1, seed: int = 1, dtype: str = "f4") -> np.ndarray:
    """A field (t, y, x) of which each block is a sum of the two patterns, in amounts of its own, with a little noise. Blocks
    of one row (1, 1, n) are runs of values, as with the preset `cae`."""
    rng = np.random.default_rng(seed)
    if block[:2] == (1, 1):
        extent = (1, 1, int(np.prod(shape)))
    else:
        extent = shape
    counts = [-(-n // b) for n, b in zip(extent, block)]
    amounts = rng.uniform(-0.5, 0.5, (*counts, 2))
    blocks = amounts @ signs(int(np.prod(block))).astype("f8")
    whole = blocks.reshape(*counts, *block).transpose(0, 3, 1, 4, 2, 5).reshape([c * b for c, b in zip(counts, block)])
    whole = whole[: extent[0], : extent[1], : extent[2]].reshape(shape)
    return (100 + 10 * whole + noise * rng.uniform(-0.5, 0.5, shape)).astype(dtype)


def digest(model: bytes) -> str:
    """The model's name: 64 hexadecimal digits."""
    return hashlib.sha256(model).hexdigest()


def travelling(steps: int = 32, ny: int = 60, nx: int = 61, seed: int = 1, dtype: str = "f4") -> np.ndarray:
    """Uncorrelated noise that moves by SHIFT per step (t, y, x), new at the edges where it comes in."""
    rng = np.random.default_rng(seed)
    (dy, dx), last = SHIFT, steps - 1
    noise = rng.standard_normal((ny + last * dy, nx + last * dx))
    return np.stack([noise[(last - t) * dy:, (last - t) * dx:][:ny, :nx] for t in range(steps)]).astype(dtype)


def embed(file, model: bytes) -> str:
    """Puts the model into an open h5py file, as a byte dataset; returns its path.

    netCDF opens a file to write only if its groups track the order of creation.
    """
    group = file
    for part in GROUP.strip("/").split("/"):
        group = group[part] if part in group else group.create_group(part, track_order=True)
    if digest(model) not in group:
        group.create_dataset(digest(model), data=np.frombuffer(model, "u1"))
    return f"{GROUP}/{digest(model)}"


def store(folder, model: bytes, name: str | None = None) -> Path:
    """Puts the model into a folder, under its digest or another name."""
    path = Path(folder) / f"{name or digest(model)}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model)
    return path


def words(bound: float, model: bytes | None = None, strict: bool = False, preset: int = 3) -> tuple[int, ...]:
    """cd_values of the preset `learned`, or another with models, with an absolute bound, written down from the documented layout."""
    head = (1 | preset << 8 | strict << 26, 1, *struct.unpack("<2I", struct.pack("<d", bound)), 0, 0)
    return head if model is None else head + struct.unpack("<4I", bytes.fromhex(digest(model))[:16])


def needed(stream: bytes) -> str | None:
    """The digest of the model that a chunk's stream needs, from its header; None: it needs none."""
    assert stream[:4] == b"\x89AGR", stream[:4]
    method, rank = stream[5], stream[7] & 15
    if method != LEARNED:
        return None
    at = 8 + 4 * rank
    formula = stream[at] >> 4
    at += 1 + 4 * 8 + (8 if formula == 2 else 0)
    return stream[at:at + 32].hex()


LEARNED = 3
"""Method of streams that name a model."""


def chunk_models(dataset) -> list[str | None]:
    """For each chunk of an open h5py dataset the model that it needs."""
    chunks = [dataset.id.get_chunk_info(i).chunk_offset for i in range(dataset.id.get_num_chunks())]
    return [needed(dataset.id.read_direct_chunk(offset)[1]) for offset in chunks]
