"""A second decoder of Augur streams, written from docs/format.md alone: plain Python, slow, for small chunks.

It exists to prove that the page is complete. Section numbers are those of the page. zstandard and xxhash
bring the two formats that the page refers to; network.py runs the models of streams that name one.

    python decoder.py STREAM.augur > chunk.raw
"""

from __future__ import annotations

import hashlib
import math
import struct
import sys
from dataclasses import dataclass, field

import network
import numpy as np
import xxhash
import zstandard

SIZES = {1: 2, 2: 4, 3: 8, 4: 1, 5: 1, 6: 2, 7: 2, 8: 4, 9: 4}
INTEGERS = {4: "b", 5: "B", 6: "h", 7: "H", 8: "i", 9: "I"}
LORENZO_SPACE, LORENZO_TIME, LORENZO_BOTH, MULTISCALE, DIRECT, BLOCKWISE = range(6)
PREVIOUS, HIERARCHICAL, INDEPENDENT, FORECAST, RECONSTRUCTED, BOTH_RECONSTRUCTED = range(6)
LOSSLESS, PREDICTED, LEARNED = 1, 2, 3
BETWEEN, RECURRENT = "between", "recurrent"
NORMAL, FINE, PROVISIONAL = range(3)
IN_TIME, IN_LEVELS, RUNS = range(3)
MEAN, LORENZO, PLANE, NETWORK = range(4)
ESCAPE = 65535


class Damaged(Exception):
    """The stream is not one, or not a whole one."""


def need(condition: bool, what: str) -> None:
    if not condition:
        raise Damaged(what)


def wrap(v: int, bits: int = 32) -> int:
    """Modulo 2^bits, as a signed number."""
    v &= (1 << bits) - 1
    return v - (1 << bits) if v >> (bits - 1) else v


def toward_zero(a: int, b: int) -> int:
    q = abs(a) // abs(b)
    return q if (a < 0) == (b < 0) else -q


def limit(v, low, high):
    return min(max(v, low), high)


def checksum(data: bytes) -> int:
    return xxhash.xxh3_64_intdigest(data) & 0xFFFFFFFF


def zstd_content(frame: bytes, most: int) -> bytes:
    try:
        size = zstandard.get_frame_parameters(frame).content_size
        need(size not in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR), "a zstd frame states no size")
        need(size <= most, "a zstd frame is larger than it can be")
        return zstandard.ZstdDecompressor().decompress(frame)
    except zstandard.ZstdError as e:
        raise Damaged(f"zstd: {e}") from e


# --- 1. Frame of the stream -------------------------------------------------------------------------------


@dataclass
class Header:
    method: int
    dtype: int
    big: bool
    shape: tuple
    time_axis: int
    formula: int
    unit: float
    origin: float
    model: bytes | None
    payload_len: int
    reconstruction_sum: int
    payload_sum: int

    @property
    def raw_len(self) -> int:
        return math.prod(self.shape) * SIZES[self.dtype]


def read_header(stream: bytes) -> tuple[Header, int]:
    need(len(stream) >= 8 and stream[:4] == b"\x89AGR", "not an Augur stream")
    version, method, kind, axes = stream[4:8]
    need(version == 1, f"format version {version}")
    rank, time_axis = axes & 15, axes >> 4
    need(1 <= rank <= 5 and time_axis < rank, "rank and time axis")
    at = 8 + 4 * rank
    need(len(stream) > at, "the stream ends in its header")
    shape = struct.unpack_from(f"<{rank}I", stream, 8)
    predicted, model = method in (PREDICTED, LEARNED), None
    formula, unit, origin = stream[at] >> 4 if predicted else 0, 0.0, 0.0
    length = at + (33 if predicted else 0) + (8 if formula == 2 else 0) + (32 if method == LEARNED else 0) + 20
    need(len(stream) >= length, "the stream ends in its header")
    if predicted:
        _, _, _, error, unit = struct.unpack_from("<B4d", stream, at)
        need(math.isfinite(error) and error >= 0 and math.isfinite(unit) and unit > 0, "error and unit")
        need(formula <= 3, "formula of the values")
        at += 33
        if formula == 2:
            (origin,) = struct.unpack_from("<d", stream, at)
            need(math.isfinite(origin), "origin")
            at += 8
    if method == LEARNED:
        model = stream[at : at + 32]
        at += 32
    payload_len, reconstruction, payload, own = struct.unpack_from("<Q3I", stream, at)
    need(checksum(stream[: length - 4]) == own, "the header's checksum")
    need(method <= LEARNED and kind & 127 in SIZES and 0 not in shape and math.prod(shape) <= 1 << 40, "the header's fields")
    return (
        Header(method, kind & 127, kind > 127, shape, time_axis, formula, unit, origin, model, payload_len, reconstruction, payload),
        length,
    )


def decode(stream: bytes, models=()) -> bytes:
    """The bytes of the chunk, in its own byte order; `models` are model files' bytes."""
    header, start = read_header(stream)
    payload = stream[start : start + header.payload_len]
    need(len(payload) == header.payload_len, "the stream ends in its payload")
    rest = stream[start + header.payload_len :]
    need(rest == b"" or (rest == b"\0" and len(stream) == header.raw_len + 1), "bytes after the payload")
    need(checksum(payload) == header.payload_sum, "the payload's checksum")
    size = SIZES[header.dtype]
    if header.method == 0:
        raw = payload
    elif header.method == LOSSLESS:
        planes = zstd_content(payload, header.raw_len)
        n = len(planes) // size
        raw = bytes(planes[b * n + i] for i in range(n) for b in range(size))
    else:
        model = next((m for m in models if hashlib.sha256(m).digest() == header.model), None)
        need(header.model is None or model is not None, "the model is not there")
        raw = to_chunk(Payload(header, payload, model).decode(), header)
    need(len(raw) == header.raw_len and checksum(raw) == header.reconstruction_sum, "the reconstruction's checksum")
    return raw


# --- 2. Chunk, frames, bands ------------------------------------------------------------------------------


def to_chunk(values: list[bytes], header: Header) -> bytes:
    """Moves the time axis back and swaps bytes."""
    shape, axis = header.shape, header.time_axis
    before, n, after = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    back = (values[(t * before + b) * after + a] for b in range(before) for t in range(n) for a in range(after))
    return b"".join(v[::-1] if header.big else v for v in back)


@dataclass
class Frames:
    steps: int
    levels: int
    height: int
    width: int

    def __init__(self, shape, axis):
        axes = [n for n in (shape[axis], *shape[:axis], *shape[axis + 1 :]) if n > 1]
        self.width = axes.pop() if axes else 1
        self.height = axes.pop() if axes else 1
        self.steps = axes.pop(0) if axes else 1
        self.levels = math.prod(axes)
        self.count = self.steps * self.levels
        self.area = self.height * self.width


@dataclass
class Band:
    """One band while it is decoded."""

    top: int
    height: int
    width: int
    symbols: Symbols = None
    plain: Bits = None
    blocks: Blocks = None
    values: dict = field(default_factory=dict)
    activity: dict = field(default_factory=dict)
    smoothed: dict = field(default_factory=dict)


# --- 3. Payload -------------------------------------------------------------------------------------------


class Parts:
    """Numbers and byte strings."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def byte(self) -> int:
        need(self.at < len(self.data), "the payload ends too early")
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        v = 0
        for shift in range(0, 70, 7):
            b = self.byte()
            v |= (b & 127) << shift
            if b < 128:
                return v
        raise Damaged("a number has too many bytes")

    def signed(self) -> int:
        return unzigzag(self.number())

    def bytes(self, n: int | None = None) -> bytes:
        n = self.number() if n is None else n
        need(self.at + n <= len(self.data), "the payload ends too early")
        self.at += n
        return self.data[self.at - n : self.at]

    def packed(self, most: int) -> bytes:
        return zstd_content(self.bytes(), most)


def unzigzag(u: int) -> int:
    return u // 2 if u % 2 == 0 else -(u + 1) // 2


class Bits:
    """A bit stream."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def get(self, n: int) -> int:
        v = 0
        for i in range(n):
            need(self.at < 8 * len(self.data), "a bit stream ends too early")
            v |= (self.data[self.at // 8] >> self.at % 8 & 1) << i
            self.at += 1
        return v

    def golomb(self, k: int) -> int:
        n = 0
        while self.get(1) == 0:
            n += 1
        a = self.get(n)
        return (((1 << n) + a - 1) << k) + self.get(k)


def factor(f, x: int) -> int:
    return (x * f[0] + (1 << f[1] - 1)) >> f[1]


def everywhere(band: Band, v: int) -> list[list[int]]:
    return [[v] * band.width for _ in range(band.height)]


class Payload:
    """A predicted payload."""

    def __init__(self, header: Header, data: bytes, model: bytes | None):
        self.header, self.frames = header, Frames(header.shape, header.time_axis)
        f, size, r = self.frames, SIZES[header.dtype], Parts(data)
        self.points = f.count * f.area
        first, flags = r.byte(), r.byte()
        self.predictor, order = first & 15, first >> 4
        need(self.predictor <= BLOCKWISE and order <= BOTH_RECONSTRUCTED, "predictor and time order")
        self.step, self.shift = r.number(), r.byte()
        need(1 <= self.step <= 1 << 30 and self.shift <= 12, "step and shift")
        need(self.predictor >= MULTISCALE or self.step == 1, "step of Lorenzo")
        self.offset, self.low, self.high = r.signed(), r.signed(), r.signed()
        need(-(1 << 29) <= self.low <= self.high <= 1 << 29 and abs(self.offset) <= 1 << 60, "offset, low, high")
        self.window = None
        if order == FORECAST:
            need(model is not None, "forecasts without a model")
            self.read_window(r, r.byte())
            self.network = network.Model(model)
            self.states = {}
        self.model, self.reconstruction = model, None
        if order >= RECONSTRUCTED:
            need(self.predictor == MULTISCALE, "reconstructions without multiscale prediction")
            blocks = Blocks(*read_shape(r), f)
            self.reconstruction = blocks.together(Latents(r, blocks.count, blocks).reconstruct(self, blocks))
        self.kinds = r.packed(f.count) if flags & 1 else bytes(f.count)
        need(len(self.kinds) == f.count and max(self.kinds) <= 2, "kinds of frames")
        self.mask = self.read_mask(r) if flags & 2 else None
        self.specials = b""
        if self.mask:
            self.specials = r.packed(sum(self.mask) * size)
            need(len(self.specials) == sum(self.mask) * size, "special values")
        self.negative = self.read_mask(r) if flags & 4 else None
        self.patches = {}
        if flags & 8:
            n = r.number()
            part, at = Parts(r.packed(n * (10 + size))), 0
            for _ in range(n):
                at += part.number()
                need(at < self.points, "a patch outside of the chunk")
                self.patches[at] = part.bytes(size)
        self.plan = coding_order(order, f, self)
        weights = r.bytes()
        if self.predictor == MULTISCALE:
            self.weights = read_weights(Bits(weights), self.plan, self.shift)
        count = r.number()
        if self.predictor == BLOCKWISE:
            need(order <= INDEPENDENT, "order of blockwise prediction")
            self.bands = [Band(0, f.height, f.width, blocks=part) for part in self.read_blocks(Parts(weights), r, count)]
            need(r.at == len(data), "bytes after the last part")
            return
        need(1 <= count <= min(f.height, 256), "number of bands")
        if self.predictor == DIRECT:
            need(order != HIERARCHICAL and self.window != BETWEEN and count == 1, "order of direct prediction")
            self.read_keys(weights)
            self.differences = self.read_ranks(r)
            need(r.at == len(data), "bytes after the last part")
            self.bands = [Band(0, f.height, f.width)]
            return
        tables = Bits(r.bytes())
        self.classes = read_classes(tables)
        self.tables = [read_table(tables) for _ in range(CONTEXTS + 3 if any(self.classes) else CONTEXTS)]
        self.bands = []
        for b in range(count):
            top, end = b * f.height // count, (b + 1) * f.height // count
            symbols = Symbols(r.bytes(), self.tables, self.classes)
            self.bands.append(Band(top, end - top, f.width, symbols, Bits(r.bytes())))
        need(r.at == len(data), "bytes after the last part")

    def read_window(self, r: Parts, code: int) -> None:
        self.levels, self.past, self.channels = False, 0, 1
        if code == 0:
            self.window, self.graph = BETWEEN, "interpolator"
        elif code >= 64:
            self.window, self.graph = RECURRENT, "recurrent"
            self.channels, self.levels = (code & 15) + 1, bool(code >> 4 & 1)
            need(code < 96 and self.frames.levels % self.channels == 0, "window")
        else:
            self.window, self.graph = "past", "forecaster"
            self.past, self.levels = code & 15, bool(code >> 4)
            need(2 <= self.past <= 3 and code >> 4 <= 1, "window")
        self.normals = []
        for _ in range(self.channels):
            centre = r.signed()
            need(abs(centre) <= 1 << 29, "centre")
            factors = [(r.number(), r.byte()) for _ in range(5 if self.window == BETWEEN else 3)]
            need(all(m <= 32767 and 1 <= s <= 46 for m, s in factors), "factors")
            self.normals.append((centre, factors))

    def read_mask(self, r: Parts) -> list[int]:
        bits = r.packed((self.points + 7) // 8)
        need(len(bits) == (self.points + 7) // 8, "size of a mask")
        out, area = [], self.frames.area
        for i in range(self.points):
            out.append(bits[i // 8] >> i % 8 & 1 ^ (out[i - area] if i >= area else 0))
        return out

    def decode(self) -> list[bytes]:
        """The values in canonical form."""
        out = [b""] * self.points
        for band in self.bands:
            self.states = {}
            if self.predictor == BLOCKWISE:
                for local, v in enumerate(self.blockwise(band.blocks)):
                    i = band.blocks.in_chunk(local)
                    out[i] = self.value(i, i // self.frames.area, v)
                continue
            if self.predictor == DIRECT:
                self.direct(band)
            else:
                walk = self.multiscale if self.predictor == MULTISCALE else self.lorenzo
                for step in self.plan:
                    walk(band, step)
                band.symbols.finish()
            for frame in range(self.frames.count):
                for y in range(band.height):
                    for x in range(band.width):
                        i = self.index(band, frame, y, x)
                        out[i] = self.value(i, frame, band.values[frame][y][x])
        size = SIZES[self.header.dtype]
        special = 0
        for i in range(self.points):
            if self.mask and self.mask[i]:
                out[i] = self.specials[special : special + size]
                special += size
        for i, v in self.patches.items():
            out[i] = v
        return out

    def index(self, band: Band, frame: int, y: int, x: int) -> int:
        return (frame * self.frames.height + band.top + y) * self.frames.width + x

    # --- 4. Integers and values ---------------------------------------------------------------------------

    def value(self, i: int, frame: int, v: int) -> bytes:
        k, half = wrap(v + self.offset, 64), self.kinds[frame] == PROVISIONAL
        formula, unit = self.header.formula, self.header.unit
        if formula == 1:
            u = int(unit)
            need(u == unit and 2 <= u < 1 << 52, "the unit of logarithms")
            x = exp2(wrap(k * u + (u // 2 if half else 0), 64))
        elif formula == 2:
            x = float(k) * unit + self.header.origin
        elif formula == 3:
            x = float(k) / unit
        else:
            x = float(2 * k + 1) * (0.5 * unit) if half else float(k) * unit
        if self.negative and self.negative[i]:
            x = -x
        return cast(x, self.header.dtype)

    # --- 9. Residuals of one batch ------------------------------------------------------------------------

    def batch(self, band: Band, frame: int, places, contexts) -> list[int]:
        """The residuals of the points of a batch; `places` are their (y, x)."""
        special = [bool(self.mask and self.mask[self.index(band, frame, y, x)]) for y, x in places]
        symbols = iter(band.symbols.batch([c for c, s in zip(contexts, special) if not s]))
        out = []
        for s in special:
            if s:
                out.append(0)
                continue
            out.append(large(next(symbols), band.plain))
        return out

    # --- 6. Multiscale prediction -------------------------------------------------------------------------

    def multiscale(self, band: Band, step: Step) -> None:
        frame, h, w = step.frame, band.height, band.width
        levels = limit(max(h, w).bit_length() - 2, 1, 5)
        scale = self.step if self.kinds[frame] == NORMAL else 1
        spreads = [min(min(n * scale, MOST) + 3, MOST) // 4 for n in (3, 12, 48)]
        values = [[None] * w for _ in range(h)]
        activity = [[None] * w for _ in range(h)]
        smoothed = [[None] * w for _ in range(h)]
        references = [band.values[r] for r in step.references]
        if step.forecast:
            references.insert(0, self.forecast(band, step, band.values))
        if step.reconstructed:
            first = self.index(band, frame, 0, 0)
            references.insert(0, [self.reconstruction[first + y * w :][:w] for y in range(h)])
        calm = [band.smoothed[r] for r in step.references]

        def code(places, predicted, contexts):
            for (y, x), p, q in zip(places, predicted, self.batch(band, frame, places, contexts)):
                values[y][x] = wrap(p + q * scale)
                activity[y][x] = min(abs(q), 255)

        for level in range(levels - 1, -1, -1):
            lattice = Lattice(h, w, level)
            for phase in (0, 3, 2, 1) if level == levels - 1 else (3, 2, 1):
                rows, columns = lattice.size(phase)
                if phase == 0 and not references:
                    self.plain_roots(lattice, values, activity, code)
                    continue
                slot = {0: ROOT, 3: 0, 2: 1, 1: 2}[phase] + (3 * min(level, 2) if phase else 0)
                weights = self.weights[step.klass, slot]
                group = (level > 0) + 2 * bool(calm)
                near = SPACE[phase][:4]
                by_distance, of_references = ACTIVITY[phase, level > 0, (0, 1, 1, 2)[len(calm)]]
                places = [(t, tuple(abs(d) for d in distance(t, phase))) for t in SPACE[phase]]
                weighed = [(t, by_distance[d]) for t, d in places if d in by_distance]

                def point(i, j):
                    def at(tap, field=values):
                        if tap[0] == "reference":
                            return lattice.reference_tap(references[tap[1]], tap, phase, i, j)
                        return lattice.space_tap(field, tap, i, j)

                    p = self.predict(weights, at)
                    y, x = lattice.place(phase, i, j)
                    total = sum(weight * at(t, activity) for t, weight in weighed)
                    if calm:
                        total += of_references * (calm[0][y][x] + calm[min(1, len(calm) - 1)][y][x])
                    spread = sum(abs(limit(wrap(at(t) - p), -(1 << 28), 1 << 28)) for t in near)
                    passed = sum(spread >= t for t in spreads)
                    return (y, x), p, 52 * group + 4 * octaves(total) + passed

                # The rows of a batch.
                together = max(4096 // (lattice.size(0)[1] + 4), 1)
                for first in range(0, rows if columns else 0, together):
                    batch = range(first, min(first + together, rows))
                    code(*zip(*(point(i, j) for i in batch for j in range(columns))))
            for phase in (0, 1, 2, 3) if level == levels - 1 else (1, 2, 3):
                lattice.smooth(activity, phase, smoothed)
        band.values[frame], band.activity[frame], band.smoothed[frame] = values, activity, smoothed

    def forecast(self, band: Band, step: Step, known) -> list[list[int]]:
        """Section 5: what the network makes of the frames of the window."""
        if self.window == RECURRENT:
            return self.recurrent(band, step, known)
        centre, (position, *changes) = self.normals[0]
        read = [known[f] for f in step.forecast]
        times = [f // self.frames.levels for f in step.forecast]
        span = times[1] - times[0]
        change, output = changes[2:] if self.window == BETWEEN and span > 2 else changes[:2]
        c = limit(factor(change, self.step), 1, 32767)
        m = c.bit_length() - 1
        constants = [256 * m + (256 * c >> m) - 256 - 2560]
        if self.window == BETWEEN:
            base = [[(x + y) >> 1 for x, y in zip(*rows)] for rows in zip(*read)]
            differences = [(read[1], read[0])]
            constants += [1024 * span - 3072, 4096 * (step.frame // self.frames.levels - times[0]) // span - 2048]
        else:
            base, n = read[0], self.past
            differences = [(read[k], read[k + 1]) for k in range(n - 1)] + [(other, base) for other in read[n:]]
        channels = [self.channel(band, position, base, everywhere(band, centre))]
        channels += [self.channel(band, change, a, b) for a, b in differences]
        channels += [[[v] * len(row) for row in channels[0]] for v in constants]
        o = self.network.run(self.graph, [np.array(channels)[:, None]])[0][0, 0]
        return self.corrected(base, output, o)

    def recurrent(self, band: Band, step: Step, known) -> list[list[int]]:
        level = step.frame % self.frames.levels
        group, member = divmod(level, self.channels)
        if member == 0:
            last, before = step.forecast[: self.channels], step.forecast[self.channels :]
            channels = [
                self.channel(band, factors[0], known[f], everywhere(band, centre))
                for f, (centre, factors) in zip(last, self.normals)
            ]
            channels += [
                self.channel(band, factors[1], known[f], known[g]) for f, g, (_, factors) in zip(last, before, self.normals)
            ]
            first = np.array(channels)[:, None]
            states = self.states.get(group) or self.network.nothing(self.graph, first.shape[2:])
            output, *self.states[group] = self.network.run(self.graph, [first, *states])
            self.group = [
                self.corrected(known[f] if self.levels else everywhere(band, centre), factors[2], o[0])
                for f, (centre, factors), o in zip(last, self.normals, output)
            ]
        return self.group[member]

    def channel(self, band: Band, f, a, b) -> list[list[int]]:
        plane = [[limit(factor(f, wrap(x - y)), -32767, 32767) for x, y in zip(*rows)] for rows in zip(a, b)]
        m = self.network.multiple(self.graph)
        for row in plane:
            row += [row[-1]] * (-band.width % m)
        return plane + [plane[-1]] * (-band.height % m)

    def corrected(self, base, output, o) -> list[list[int]]:
        return [
            [limit(f + factor(output, int(o[y][x])), self.low, self.high) for x, f in enumerate(row)]
            for y, row in enumerate(base)
        ]

    # --- 10. Direct prediction ----------------------------------------------------------------------------

    def read_keys(self, data: bytes) -> None:
        steps = self.frames.steps
        need(len(data) == 1 + (steps + 7) // 8 and data[0] < 16 and data[0] & 7, "key steps")
        self.warm_up, self.open_loop = data[0] & 7, data[0] > 7
        self.keys = [bool(data[1 + t // 8] >> t % 8 & 1) for t in range(steps)]
        need(all(self.keys[: self.warm_up]), "warm-up")

    def read_ranks(self, r: Parts) -> list[int]:
        n = r.number()
        need(n <= 65535, "ranks")
        table, others = Parts(r.packed(5 * n)), Parts(r.packed(5 * self.points))
        ranked = [table.signed() for _ in range(n)]
        width = 1 + (n > 255)
        planes = r.packed(width * self.points)
        need(len(planes) == width * self.points, "ranks of all points")
        out = []
        for i in range(self.points):
            rank = planes[i] + (planes[self.points + i] << 8 if width == 2 else 0)
            need(rank <= n, "a rank that nothing has")
            out.append(ranked[rank] if rank < n else others.signed())
        need(table.at == len(table.data) and others.at == len(others.data), "integers that nothing uses")
        return out

    def direct(self, band: Band) -> None:
        seen = {}
        for step in self.plan:
            t, level = divmod(step.frame, self.frames.levels)
            key, warm = self.keys[t], t < self.warm_up
            if key and not warm:
                self.states = {}
            p = everywhere(band, 0)
            if not key or warm and t > 0:
                if step.forecast:
                    p = self.forecast(band, step, seen)
                elif step.references[0] // self.frames.levels < t:
                    p = seen[step.references[0]]
            if key:
                p = everywhere(band, 0)
            at, d, rows = self.index(band, step.frame, 0, 0), 0, []
            for y in range(band.height):
                rows.append([])
                for x in range(band.width):
                    d = wrap(d + self.differences[at + y * band.width + x])
                    rows[y].append(limit(wrap(p[y][x] + d), self.low, self.high))
            band.values[step.frame] = rows
            seen[step.frame] = p if self.open_loop and not key else rows

    # --- 12. Blockwise prediction -------------------------------------------------------------------------

    def read_blocks(self, r: Parts, payload: Parts, count: int) -> list:
        """The parts, each with all that its blocks need."""
        f, shape = self.frames, read_shape(r)
        blocks = Blocks(*shape, f)
        each = f.count * f.area // blocks.size[2] if blocks.kind == RUNS else f.height // max(64, blocks.size[1])
        need(1 <= count <= max(1, min(f.count * f.area >> 19, each, 256)), "number of parts")
        modes = r.packed(blocks.count)
        need(len(modes) == blocks.count and max(modes) <= NETWORK, "modes of blocks")
        means, *planes = ([summed(r, modes.count(mode)) for mode in (MEAN, *[PLANE] * 4)])
        quantum = max(1, self.step // 4)
        sides = [max(1, 256 * quantum // n) for n in blocks.size]
        means = [(quantum * m, (0, 0, 0)) for m in means]
        planes = [(quantum * base, tuple(s * q for s, q in zip(slopes, sides))) for base, *slopes in zip(*planes)]
        need(all(abs(v) <= 1 << 44 for base, slopes in means + planes for v in (base, *slopes)), "means and slopes")
        made = []
        if NETWORK in modes:
            latents = Latents(r, modes.count(NETWORK), blocks)
            made = latents.reconstruct(self, blocks)
        need(r.at == len(r.data), "bytes after the blocks")
        lists = {MEAN: iter(means), PLANE: iter(planes), NETWORK: iter(made), LORENZO: iter(lambda: None, 0)}
        code, parts, modes = read_code(payload), [], iter(modes)
        for p in range(count):
            part = blocks.part(p, count)
            part.modes = [next(modes) for _ in range(part.count)]
            part.given = [next(lists[mode]) for mode in part.modes]
            points = math.prod(part.extent)
            part.symbols = Huffman(code, payload.packed((30 * points + 7) // 8))
            part.escapes = Parts(payload.packed(5 * points))
            parts.append(part)
        return parts

    def blockwise(self, part: Blocks) -> list[int]:
        """The integers of a part's points."""
        values = [0] * math.prod(part.extent)
        for block, (mode, given) in enumerate(zip(part.modes, part.given)):
            for places in part.rows(block):
                frames = {part.in_chunk(i) // self.frames.area for _, i, _ in places}
                scale = self.step if all(self.kinds[frame] == NORMAL for frame in frames) else 1
                for place, i, at in places:
                    if mode == LORENZO:
                        p = self.from_before(part, values, at)
                    elif mode == NETWORK:
                        p = given[place]
                    else:
                        base, slopes = given
                        inside = (place // part.size[2] // part.size[1], place // part.size[2] % part.size[1], place % part.size[2])
                        p = base + (sum(s * x for s, x in zip(slopes, inside)) + 128 >> 8)
                    p = limit(p, self.low, self.high)
                    special = self.mask and self.mask[part.in_chunk(i)]
                    values[i] = p if special else wrap(p + self.residual(part) * scale)
        part.symbols.finish()
        need(part.escapes.at == len(part.escapes.data), "escapes that nothing uses")
        return values

    def residual(self, part: Blocks) -> int:
        symbol = part.symbols.next()
        if symbol < ESCAPE:
            return unzigzag(symbol)
        u = part.escapes.number()
        need(u < 1 << 32, "an escape")
        return unzigzag(u)

    @staticmethod
    def from_before(part: Blocks, values, at) -> int:
        total = 0
        for back in range(1, 8):
            steps = [back >> k & 1 for k in range(3)]
            if all(x >= s for x, s in zip(at[1:], steps)):
                there = part.index([at[0], *(x - s for x, s in zip(at[1:], steps))])
                total += values[there] * (1 if sum(steps) % 2 else -1)
        return wrap(total)

    # --- 6. Multiscale prediction, continued --------------------------------------------------------------

    def plain_roots(self, lattice: Lattice, values, activity, code) -> None:
        rows, columns = lattice.size(0)
        for i in range(rows):
            for j in range(columns):
                y, x = lattice.place(0, i, j)
                west, north = lattice.place(0, i, j - 1), lattice.place(0, i - 1, j)
                if i and j:
                    p = wrap(values[y][west[1]] + values[north[0]][x] - values[north[0]][west[1]])
                else:
                    p = values[y][west[1]] if j else values[north[0]][x] if i else 0
                context = 208 + (activity[y][west[1]].bit_length() if j else 9)
                code([(y, x)], [limit(p, self.low, self.high)], [context])

    def predict(self, weights, value) -> int:
        total = sum(w * value(tap) for tap, w in weights) + (1 << self.shift) // 2
        return limit(wrap(total) >> self.shift, self.low, self.high)

    @staticmethod
    def activity_level(total: int) -> int:
        bits = total.bit_length()
        return 2 * bits - 1 + (total >> bits - 2 & 1 if bits > 1 else 0) if total else 0

    # --- 7. Lorenzo prediction ----------------------------------------------------------------------------

    def lorenzo(self, band: Band, step: Step) -> None:
        frame, h, w = step.frame, band.height, band.width
        before = step.references[0] if step.references and self.predictor != LORENZO_SPACE else None
        known = band.values[before] if before is not None else [[0] * w] * h
        calm = smooth_with_zeros(band.activity[before]) if before is not None else [[0] * w] * h
        in_space = self.predictor != LORENZO_TIME or before is None
        values, activity = [], []

        def active(y, x):
            return activity[y][x] if y >= 0 and 0 <= x < w else 0

        for y in range(h):
            contexts = []
            for x in range(w):
                total = active(y - 1, x - 1) + active(y - 1, x) + active(y - 1, x + 1) + active(y - 2, x) + calm[y][x]
                contexts.append((22 if before is not None else 0) + min(self.activity_level(total), 21))
            q = self.batch(band, frame, [(y, x) for x in range(w)], contexts)
            line, running = [], 0
            for x in range(w):
                if in_space:
                    running += q[x]
                    base = (values[y - 1][x] - known[y - 1][x] if y else 0) + known[y][x]
                    line.append(wrap(base + running))
                else:
                    line.append(wrap(known[y][x] + q[x]))
            values.append(line)
            activity.append([min(abs(v), 255) for v in q])
        band.values[frame], band.activity[frame] = values, activity


# --- 4. Integers and values -------------------------------------------------------------------------------

ROOTS = [1 << 63]
for _ in range(40):
    ROOTS.append(math.isqrt(ROOTS[-1] << 62))


def exp2(e: int) -> float:
    whole, fraction, m = e >> 40, e & ((1 << 40) - 1), 1 << 62
    for j in range(1, 41):
        if fraction >> (40 - j) & 1:
            m += m * (ROOTS[j] - (1 << 62)) >> 62
    scaled = whole - 62
    if scaled > 1100:
        return math.inf
    if scaled < -1200:
        return 0.0
    half = toward_zero(scaled, 2)
    return float(m) * 2.0**half * 2.0 ** (scaled - half)


def cast(x: float, dtype: int) -> bytes:
    if dtype == 3:
        return struct.pack("<d", x)
    if dtype == 2:
        try:
            return struct.pack("<f", x)
        except OverflowError:
            return struct.pack("<f", math.copysign(math.inf, x))
    if dtype == 1:
        bits = struct.unpack("<Q", struct.pack("<d", x))[0] & ~0xFFFFFFFF
        x = struct.unpack("<d", struct.pack("<Q", bits))[0]
        try:
            return struct.pack("<e", x)
        except OverflowError:
            return struct.pack("<e", math.copysign(math.inf, x))
    bits, signed = 8 * SIZES[dtype], dtype in (4, 6, 8)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    whole = 0 if math.isnan(x) else math.trunc(limit(x, low, high))
    return struct.pack("<" + INTEGERS[dtype], whole)


# --- 5. Coding order and references -----------------------------------------------------------------------


@dataclass
class Step:
    frame: int
    references: list
    klass: int
    forecast: list
    reconstructed: bool

    @property
    def count(self) -> int:
        return len(self.references) + (bool(self.forecast) or self.reconstructed)


def coding_order(order: int, f: Frames, forecasts) -> list[Step]:
    window = forecasts.window
    times, last = [(0, (), 0)], f.steps - 1
    reconstructed = order >= RECONSTRUCTED
    order = {RECONSTRUCTED: PREVIOUS, BOTH_RECONSTRUCTED: HIERARCHICAL}.get(order, order)
    if order == PREVIOUS:
        times += [(t, (t - 1, max(t - 2, 0)), 1) for t in range(1, f.steps)]
    elif order == FORECAST and window != BETWEEN:
        times += [(t, (t - 1, max(t - 2, 0)), min(t, 2)) for t in range(1, f.steps)]
    elif order == INDEPENDENT:
        times += [(t, (), 0) for t in range(1, f.steps)]
    elif last > 0:
        times.append((last, (0, 0), 4))
        spans = [(0, last)]
        while spans:
            following = []
            for a, b in spans:
                if b - a >= 2:
                    m = (a + b) // 2
                    times.append((m, (a, b), 1 if b - a <= 2 else 2 if b - a <= 4 else 3))
                    following += [(a, m), (m, b)]
            spans = following
    plan = []
    for t, references, distance in times:
        for z in range(f.levels):
            if not references:
                pairs, klass = ([(t, z - 1), (t, max(z - 2, 0))], 5) if z else ([], 0)
            elif z == 0:
                pairs, klass = [(r, 0) for r in references], distance
            elif order == PREVIOUS or (order == FORECAST and window != BETWEEN):
                pairs, klass = [(references[0], z), (t, z - 1), (references[0], z - 1)], 5 + distance
            else:
                pairs, klass = [(r, z) for r in references] + [(t, z - 1)], 5 + distance
            read = []
            if window == BETWEEN:
                a, b = references or (0, 0)
                read = [(a, z), (b, z)] if a < t < b <= a + 4 else []
            elif window == RECURRENT and t >= 1:
                group = range(z // forecasts.channels * forecasts.channels, (z // forecasts.channels + 1) * forecasts.channels)
                read = [(s, level) for s in (t - 1, max(t - 2, 0))[: 1 + forecasts.levels] for level in group]
            elif window == "past" and t >= 2:
                read = [(max(t - k, 0), z) for k in range(1, forecasts.past + 1)]
                read += [(t - 1, max(z - 1, 0)), (t - 1, min(z + 1, f.levels - 1))] if forecasts.levels else []
            frames = [[s * f.levels + level for s, level in part] for part in (pairs, read)]
            plan.append(Step(t * f.levels + z, frames[0], klass, frames[1], reconstructed))
    return plan


# --- 6. Multiscale prediction -----------------------------------------------------------------------------


def beyond(i: int, parity: int, lattice: int, length: int) -> int:
    """Where row or column i of a plane is read."""
    if i < 0:
        return limit(-parity - i, 0, length - 1)
    if i >= length:
        return limit(lattice - 1 - parity - i, 0, length - 1)
    return i


class Lattice:
    """The lattice of a level over a band of h x w points. Fields (values, activities) are read at places (y, x) of the band."""

    def __init__(self, h: int, w: int, level: int):
        self.level, self.height, self.width = level, -(-h >> level), -(-w >> level)

    def size(self, phase: int) -> tuple[int, int]:
        return (self.height + 1 - phase // 2) // 2, (self.width + 1 - phase % 2) // 2

    def place(self, phase: int, i: int, j: int) -> tuple[int, int]:
        """Of point (i, j) of a phase's plane, which is within it."""
        return (2 * i + phase // 2) << self.level, (2 * j + phase % 2) << self.level

    def read(self, field, phase: int, i: int, j: int):
        """A plane's value, also beyond its edges; None if the phase is empty."""
        rows, columns = self.size(phase)
        if rows == 0 or columns == 0:
            return None
        i, j = beyond(i, phase // 2, self.height, rows), beyond(j, phase % 2, self.width, columns)
        y, x = self.place(phase, i, j)
        return field[y][x]

    def space_tap(self, field, tap, i: int, j: int) -> int:
        _, phase, di, dj = tap
        found = self.read(field, phase, i + di, j + dj)
        return self.read(field, 0, i, j) if found is None else found

    def reference_tap(self, field, tap, phase: int, i: int, j: int) -> int:
        _, _, dy, dx = tap
        if phase == 0:
            return self.read(field, 0, i + dy, j + dx)
        y, x = phase // 2 + dy, phase % 2 + dx
        found = self.read(field, 2 * (y % 2) + x % 2, i + y // 2, j + x // 2)
        return self.read(field, phase, i, j) if found is None else found

    def smooth(self, activity, phase: int, out) -> None:
        """Sets the smoothed activity of the points of a phase."""

        rows, columns = self.size(phase)
        for i in range(rows):
            for j in range(columns):
                near = [(i, j), (i, j), (i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
                y, x = self.place(phase, i, j)
                out[y][x] = min(255, sum(self.read(activity, phase, *place) for place in near))


def smooth_with_zeros(activity) -> list[list[int]]:
    """2 own + the four neighbours, 0 outside."""
    h, w = len(activity), len(activity[0])

    def at(y, x):
        return activity[y][x] if 0 <= y < h and 0 <= x < w else 0

    return [
        [min(255, 2 * at(y, x) + at(y - 1, x) + at(y + 1, x) + at(y, x - 1) + at(y, x + 1)) for x in range(w)]
        for y in range(h)
    ]


def offsets(text: str) -> list[tuple]:
    return [("space", *map(int, part.split(","))) for part in text.split()]


SPACE = {
    3: offsets(
        "0,0,0 0,0,1 0,1,0 0,1,1 0,-1,-1 0,-1,0 0,-1,1 0,-1,2 0,0,-1 0,0,2 0,1,-1 0,1,2 0,2,-1 0,2,0 0,2,1 0,2,2"
    ),
    2: offsets(
        "0,0,0 0,1,0 3,0,-1 3,0,0 0,0,-1 0,0,1 0,1,-1 0,1,1 3,-1,-1 3,-1,0 3,1,-1 3,1,0 0,-1,0 0,2,0 3,0,-2 3,0,1"
    ),
    1: offsets(
        "0,0,0 0,0,1 3,-1,0 3,0,0 2,-1,0 2,-1,1 2,0,0 2,0,1 0,0,-1 0,0,2 3,-2,0 3,1,0 3,-1,-1 3,-1,1 3,0,-1 3,0,1"
    ),
    0: [],
}
ROOT = 9
CONTEXTS = 218
MOST = (1 << 31) - 1
# By phase, whether the lattice is a coarser one, and decoded references (none, 1 or 2, 3): weights of the activities by
# distance, and of the smoothed activity of either of two references.
ACTIVITY = {
    (3, False, 0): ({(1, 1): 4, (1, 3): 3, (3, 1): 3}, 0),
    (3, False, 1): ({(1, 1): 6, (1, 3): 3, (3, 1): 3}, 4),
    (3, False, 2): ({(1, 1): 10, (1, 3): 4, (3, 1): 4}, 2),
    (3, True, 0): ({(1, 1): 22, (1, 3): 5, (3, 1): 5}, 0),
    (3, True, 1): ({(1, 1): 11, (1, 3): 3, (3, 1): 3}, 3),
    (3, True, 2): ({(1, 1): 13, (1, 3): 4, (3, 1): 4}, 2),
    (2, False, 0): ({(0, 1): 8, (2, 1): 3, (0, 3): 4}, 0),
    (2, False, 1): ({(0, 1): 3, (1, 0): 1}, 6),
    (2, False, 2): ({(0, 1): 10, (1, 0): 4, (2, 1): 3}, 2),
    (2, True, 0): ({(0, 1): 22, (2, 1): 3, (0, 3): 8}, 0),
    (2, True, 1): ({(0, 1): 6, (1, 0): 4}, 5),
    (2, True, 2): ({(0, 1): 18, (1, 0): 9, (2, 1): 3}, 2),
    (1, False, 0): ({(1, 1): 28}, 0),
    (1, False, 1): ({(1, 1): 15}, 4),
    (1, False, 2): ({(1, 1): 13, (1, 0): 6, (0, 1): 3}, 2),
    (1, True, 0): ({(1, 1): 37, (1, 0): 3}, 0),
    (1, True, 1): ({(1, 1): 17, (0, 1): 3}, 4),
    (1, True, 2): ({(1, 1): 8, (1, 0): 15, (0, 1): 8}, 2),
    **{(0, coarse, references): ({}, 6 if references else 0) for coarse in (False, True) for references in (0, 1, 2)},
}


def octaves(total: int) -> int:
    """Level of the activity sum, about one per octave."""
    n = total.bit_length() - 1
    rounded = n + 1 if n > 0 and total >> n - 1 & 1 else n
    return limit(rounded - 1, 1, 12) if total else 0


def taps(kind, references: int) -> list[tuple]:
    out = list(SPACE[kind])
    for r in range(references):
        reach = 3 if r == 0 else 2
        square = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if abs(dy) + abs(dx) <= reach]
        square.sort(key=lambda d: (d[0] ** 2 + d[1] ** 2, d))
        out += [("reference", r, dy, dx) for dy, dx in square]
    return out


def distance(tap, kind) -> tuple[int, int]:
    if tap[0] == "reference":
        return tap[2], tap[3]
    _, phase, di, dj = tap
    return 2 * di + phase // 2 - kind // 2, 2 * dj + phase % 2 - kind % 2


DEFAULT, RADIAL, AXIAL, DIRECTED, REPEAT = range(5)


def groups(tying: int, tap_list, kind) -> tuple[list, int]:
    """The number of each tap's group, and how many there are."""
    if tying in (DEFAULT, REPEAT):
        return [None] * len(tap_list), 0

    def key(tap):
        dy, dx = distance(tap, kind)
        square = dy * dy + dx * dx
        source, farther = (0, 0) if tap[0] == "space" else (1 + tap[1], tap[1])
        directed = tying == DIRECTED and source > 0 and square <= 2
        rest = (0, 0) if tying == RADIAL else (dy, dx) if directed else (abs(dy), abs(dx))
        return (square + farther, source, *rest)

    keys = sorted({key(tap) for tap in tap_list})
    return [keys.index(key(tap)) for tap in tap_list], len(keys)


def read_weights(bits: Bits, plan: list[Step], shift: int) -> dict:
    """(class, slot) -> [(tap, weight)]."""
    counts = {s.klass: s.count for s in plan}
    out, last = {}, {}
    for klass in sorted(counts):
        for slot in range(10):
            if slot == ROOT and counts[klass] == 0:
                continue
            kind = 0 if slot == ROOT else (3, 2, 1)[slot % 3]
            tap_list = taps(kind, counts[klass])
            tying, precision, values = bits.get(3), 0, []
            if tying not in (DEFAULT, REPEAT):
                need(tying < REPEAT, "tying of weights")
                count = bits.get(6) + 1
                need(count <= groups(tying, tap_list, kind)[1], "number of weights")
                precision, k = bits.get(4), bits.get(4)
                need(precision <= 12, "precision of weights")
                values = [unzigzag(bits.golomb(k)) for _ in range(count)]
                last[kind, counts[klass]] = (tying, precision, values)
            elif tying == REPEAT:
                tying, precision, values = last.get((kind, counts[klass]), (DEFAULT, 0, []))
            out[klass, slot] = expand(tying, precision, values, tap_list, kind, shift)
    return out


def expand(tying, precision, values, tap_list, kind, shift):
    weights = []
    for g in groups(tying, tap_list, kind)[0]:
        v = values[g] if g is not None and g < len(values) else 0
        weights.append(wrap(v << shift - precision) if shift >= precision else v >> precision - shift)
    missing = wrap((1 << shift) - sum(weights))
    base = 4 if kind else 1
    part = toward_zero(missing, base)
    for i in range(base):
        weights[i] = wrap(weights[i] + part)
    weights[0] = wrap(weights[0] + missing - part * base)
    return [(tap, w) for tap, w in zip(tap_list, weights) if w]


# --- 11. Blocks and autoencoders --------------------------------------------------------------------------


def read_shape(r: Parts) -> tuple[int, tuple[int, int, int]]:
    kind = r.byte()
    need(kind <= RUNS, "kind of blocks")
    size = (1, 1, r.number()) if kind == RUNS else (r.number(), r.number(), r.number())
    need(1 <= math.prod(size) <= 65536, "size of blocks")
    return kind, size


class Blocks:
    """The blocks of a chunk, or of a part of one whose rows (of runs: points) begin at `top`."""

    def __init__(self, kind: int, size, frames: Frames, top: int = 0, end: int | None = None):
        self.kind, self.size, self.frames, self.top = kind, size, frames, top
        whole = frames.count * frames.area if kind == RUNS else frames.height
        rows = (whole if end is None else end) - top
        if kind == RUNS:
            self.extent = (1, 1, 1, rows)
        elif kind == IN_TIME:
            self.extent = (frames.levels, frames.steps, rows, frames.width)
        else:
            self.extent = (frames.steps, frames.levels, rows, frames.width)
        self.along = (self.extent[0], *(-(-n // s) for n, s in zip(self.extent[1:], size)))
        self.count, self.points = math.prod(self.along), math.prod(size)

    def part(self, p: int, count: int) -> Blocks:
        axis = 3 if self.kind == RUNS else 2
        ends = (min(k * self.along[axis] // count * self.size[axis - 1], self.extent[axis]) for k in (p, p + 1))
        return Blocks(self.kind, self.size, self.frames, *ends)

    def index(self, at) -> int:
        """Of a point (outer, first, row, column), in the part's own order, which is that of the chunk."""
        outer, first, y, x = at
        t, z = (first, outer) if self.kind == IN_TIME else (outer, first)
        levels = self.extent[0 if self.kind == IN_TIME else 1]
        return ((t * levels + z) * self.extent[2] + y) * self.extent[3] + x

    def in_chunk(self, i: int) -> int:
        if self.kind == RUNS:
            return self.top + i
        frame, rest = divmod(i, self.extent[2] * self.extent[3])
        return frame * self.frames.area + self.top * self.frames.width + rest

    def rows(self, block: int):
        """For each row of a block that lies inside: place in the block, index, and coordinates of its points."""
        numbers = []
        for n in reversed(self.along):
            block, number = divmod(block, n)
            numbers.insert(0, number)
        outer, first, y0, x0 = numbers[0], *(n * s for n, s in zip(numbers[1:], self.size))
        depth, height, width = self.size
        for z in range(min(depth, self.extent[1] - first)):
            for y in range(min(height, self.extent[2] - y0)):
                row = [(outer, first + z, y0 + y, x0 + x) for x in range(min(width, self.extent[3] - x0))]
                yield [((z * height + y) * width + x, self.index(at), at) for x, at in enumerate(row)]

    def together(self, made) -> list[int]:
        """The values of all blocks in the order of the chunk."""
        out = [0] * math.prod(self.extent)
        for block, values in enumerate(made):
            for row in self.rows(block):
                for place, i, _ in row:
                    out[i] = values[place]
        return out


class Latents:
    """The latents of so many blocks."""

    def __init__(self, r: Parts, blocks: int, whole: Blocks):
        points = whole.points
        need(whole.count * points <= 8 * math.prod(whole.extent) + (1 << 18), "points outside of the chunk")
        self.centre, self.output, self.step = r.signed(), (r.number(), r.byte()), r.number()
        need(abs(self.centre) <= 1 << 29, "centre of the latents")
        need(self.output[0] <= 32767 and 1 <= self.output[1] <= 46, "factor of the latents")
        need(1 <= self.step <= 32767, "step of the latents")
        components = r.number()
        need(1 <= components <= min(1024, points), "number of latents")
        flags = r.bytes()
        need(len(flags) == (components + 7) // 8, "flags of the latents")
        bits, count = Bits(r.bytes()), min(components, 64)
        need(not bits.get(1), "quiet contexts of latents")
        tables = [read_table(bits) for _ in range(count)]
        symbols, plain = Symbols(r.bytes(), tables, [0] * count), Bits(r.bytes())
        self.values = []
        for c in range(components):
            coded = [large(symbol, plain) for symbol in symbols.run([c * count // components] * blocks)]
            if flags[c // 8] >> c % 8 & 1:
                coded = sums(coded)
            self.values.append(coded)
        symbols.finish()

    def reconstruct(self, payload: Payload, blocks: Blocks) -> list[list[int]]:
        """What the model makes of them: for each block the values of its points."""
        need(payload.model is not None, "latents without a model")
        model = network.Model(payload.model)
        graph = model.graphs["decoder"]
        kind = {"cae": RUNS, "swae": {"time": IN_TIME, "level": IN_LEVELS}[graph.get("third", "time")]}[graph["kind"]]
        need((kind, tuple(graph["block"])) == (blocks.kind, blocks.size), "blocks of the model")
        out = []
        for numbers in zip(*self.values):
            x = np.array([limit(q * self.step, -32768, 32767) for q in numbers])
            (o,) = model.run("decoder", [x.reshape(-1, 1, 1, 1)])
            need(o.size == blocks.points, "output of the model")
            out.append([limit(self.centre + factor(self.output, int(v)), payload.low, payload.high) for v in o.reshape(-1)])
        return out


# --- 12. Blockwise prediction -----------------------------------------------------------------------------


def sums(numbers: list[int]) -> list[int]:
    out, total = [], 0
    for v in numbers:
        total = wrap(total + v)
        out.append(total)
    return out


def summed(r: Parts, count: int) -> list[int]:
    part = Parts(r.packed(5 * count))
    numbers = [part.number() for _ in range(count)]
    need(all(u < 1 << 32 for u in numbers) and part.at == len(part.data), "means and slopes of blocks")
    return sums([unzigzag(u) for u in numbers])


def read_code(r: Parts) -> dict:
    """(length, code) -> symbol."""
    n = r.number()
    need(n <= 65536, "symbols of a Huffman code")
    table, symbol, lengths = Parts(r.packed(4 * n)), -1, []
    for _ in range(n):
        symbol += table.number() + 1
        lengths.append((table.byte(), symbol))
        need(symbol <= ESCAPE and (1 <= lengths[-1][0] <= 30 or n == 1 and lengths[-1][0] == 0), "a Huffman code's symbol")
    need(table.at == len(table.data), "bytes after a Huffman code")
    need(n == 0 or sum(1 << 30 - length for length, _ in lengths) == 1 << 30, "a Huffman code is not complete")
    out, code, last = {}, -1, 0
    for length, symbol in sorted(lengths):
        code = (code + 1) << length - last
        last = length
        out[length, code] = symbol
    return out


class Huffman:
    """The symbols of a part."""

    def __init__(self, code: dict, data: bytes):
        self.code, self.bits = code, Bits(data)

    def next(self) -> int:
        need(bool(self.code), "a symbol without a code")
        length = value = 0
        while (length, value) not in self.code:
            value = value << 1 | self.bits.get(1)
            length += 1
        return self.code[length, value]

    def finish(self) -> None:
        need(8 * len(self.bits.data) - self.bits.at < 8, "codes after the last symbol")


# --- 8. Frequency tables ----------------------------------------------------------------------------------

ONE = 1 << 32


def mul(x: int, y: int) -> int:
    return x * y >> 32


def read_classes(bits: Bits) -> list[int]:
    """How quiet each context is."""
    out = []
    if not bits.get(1):
        return [0] * CONTEXTS
    while len(out) < CONTEXTS:
        klass = bits.get(2)
        need(klass <= 2, "class of a quiet context")
        out += [klass] * (bits.golomb(2) + 1)
    need(len(out) == CONTEXTS, "number of quiet contexts")
    return out


def read_table(bits: Bits):
    """Frequencies of the symbols in use; None for a context that does not occur."""
    if not bits.get(1):
        return None
    top = bits.get(6)
    used = 2 * top + 1 if top <= 32 else 65 + 2 * (top - 32)
    if bits.get(1):
        zero = bits.get(6)
        return geometric(zero, bits.get(6), used)
    last, out = [2048, 2048], []
    for s in range(used):
        f = bits.golomb(max(last[s % 2].bit_length() - 2, 0))
        out.append(f)
        last[s % 2] = f
        if s == 0:
            last = [f // 2, f // 2]
    need(sum(out) == 4096, "sum of frequencies")
    return out


def geometric(zero: int, mean: int, used: int) -> list[int]:
    nonzero, m = ONE, ONE // 64
    for _ in range(zero):
        nonzero = mul(nonzero, 3738986199)
    for _ in range(mean):
        m = mul(m, 5107605667)
    ratio = (m << 32) // (m + ONE)

    weights, tail = [(ONE - nonzero) << 8], ONE
    for k in range(1, 33):
        following = mul(tail, ratio)
        weights += 2 * [mul(tail - following, nonzero) << 7]
        tail = following
    direct, power, product = tail, ratio, ratio
    for _ in range(31):
        following = min(mul(direct, product), tail)
        weights += 2 * [mul(tail - following, nonzero) << 7]
        tail = following
        power = mul(power, power)
        product = mul(product, power)
    weights = weights[:used]
    total = max(sum(weights), 1)
    out = [max(1, w * 4096 // total) for w in weights]
    while sum(out) > 4096:
        largest = out.index(max(out))
        out[largest] -= min(sum(out) - 4096, out[largest] // 2)
    out[out.index(max(out))] += 4096 - sum(out)
    return out


# --- 9. Residuals -----------------------------------------------------------------------------------------


def large(symbol: int, plain: Bits) -> int:
    """The residual of a symbol."""
    if symbol <= 64:
        return unzigzag(symbol)
    n, positive = divmod(symbol - 65, 2)
    magnitude = 32 + (1 << n) + plain.get(n)
    return wrap(magnitude if positive else -magnitude)


class Symbols:
    """The entropy-coded symbols of a band."""

    def __init__(self, data: bytes, tables, classes):
        head = Bits(data)
        self.states = []
        for _ in range(32):
            n = head.get(5)
            self.states.append((1 << n) + head.get(n))
        data = data[(head.at + 7) // 8 :]
        need(len(data) % 2 == 0, "size of an entropy-coded part")
        self.words = struct.unpack(f"<{len(data) // 2}H", data)
        self.at, self.tables, self.classes, self.slots = 0, tables, classes, {}

    def slot_table(self, context: int):
        if context not in self.slots:
            freqs = self.tables[context]
            need(freqs is not None, "a context without a frequency table")
            start, out = 0, []
            for symbol, f in enumerate(freqs):
                out += [(symbol, f, start)] * f
                start += f
            self.slots[context] = out
        return self.slots[context]

    def batch(self, contexts) -> list[int]:
        places = [[i for i, c in enumerate(contexts) if self.classes[c] == klass] for klass in range(3)]
        blocks = [[p[i : i + 32] for i in range(0, len(p) - 31, 32)] for p in places]
        if not any(blocks[1:]):
            return self.run(contexts)
        out = [0] * len(contexts)
        counts = self.run([CONTEXTS] * len(blocks[1]) + [CONTEXTS + 1] * len(blocks[2]))
        need(max(counts) <= 32, "zeros of a block")
        ends = iter(self.run([222] * sum(z > 0 for z in counts)))
        others, counts = list(places[0]), iter(counts)
        for klass in (1, 2):
            for block in blocks[klass]:
                z = next(counts)
                if z > 0:
                    out[block[z - 1]] = next(ends)
                    others += block[z:]
            others += places[klass][32 * len(blocks[klass]) :]
        for i, symbol in zip(others, self.run([contexts[i] for i in others])):
            out[i] = symbol
        return out

    def run(self, tables) -> list[int]:
        out = []
        for j, context in enumerate(tables):
            x = self.states[j % 32]
            slot = x % 4096
            symbol, f, start = self.slot_table(context)[slot]
            x = f * (x // 4096) + slot - start
            if x < 1 << 16 and self.at < len(self.words):
                x = (x << 16) + self.words[self.at]
                self.at += 1
            self.states[j % 32] = x
            out.append(symbol)
        return out

    def finish(self) -> None:
        need(self.at == len(self.words), "words after the last symbol")
        need(all(x in (1 << n for n in range(17)) for x in self.states), "the end of an entropy-coded part")


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as f:
        sys.stdout.buffer.write(decode(f.read()))
