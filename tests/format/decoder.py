"""A second decoder of Augur streams, written from docs/format.md alone: plain Python, slow, for small chunks.

It exists to prove that the page is complete. Section numbers are those of the page. zstandard and xxhash
bring the two formats that the page refers to.

    python decoder.py STREAM.augur > chunk.raw
"""

from __future__ import annotations

import math
import struct
import sys
from dataclasses import dataclass, field

import xxhash
import zstandard

SIZES = {1: 2, 2: 4, 3: 8, 4: 1, 5: 1, 6: 2, 7: 2, 8: 4, 9: 4}
INTEGERS = {4: "b", 5: "B", 6: "h", 7: "H", 8: "i", 9: "I"}
LORENZO_SPACE, LORENZO_TIME, LORENZO_BOTH, MULTISCALE = range(4)
PREVIOUS, HIERARCHICAL, INDEPENDENT = range(3)
NORMAL, FINE, PROVISIONAL = range(3)


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
    formula, unit, origin = stream[at] >> 4 if method == 2 else 0, 0.0, 0.0
    length = at + (33 if method == 2 else 0) + (8 if formula == 2 else 0) + 20
    need(len(stream) >= length, "the stream ends in its header")
    if method == 2:
        _, _, _, error, unit = struct.unpack_from("<B4d", stream, at)
        need(math.isfinite(error) and error >= 0 and math.isfinite(unit) and unit > 0, "error and unit")
        need(formula <= 3, "formula of the values")
        at += 33
        if formula == 2:
            (origin,) = struct.unpack_from("<d", stream, at)
            need(math.isfinite(origin), "origin")
            at += 8
    payload_len, reconstruction, payload, own = struct.unpack_from("<Q3I", stream, at)
    need(checksum(stream[: length - 4]) == own, "the header's checksum")
    need(method <= 2 and kind & 127 in SIZES and 0 not in shape and math.prod(shape) <= 1 << 40, "the header's fields")
    return (
        Header(method, kind & 127, kind > 127, shape, time_axis, formula, unit, origin, payload_len, reconstruction, payload),
        length,
    )


def decode(stream: bytes) -> bytes:
    """The bytes of the chunk, in its own byte order."""
    header, start = read_header(stream)
    payload = stream[start : start + header.payload_len]
    need(len(payload) == header.payload_len, "the stream ends in its payload")
    rest = stream[start + header.payload_len :]
    need(rest == b"" or (rest == b"\0" and len(stream) == header.raw_len + 1), "bytes after the payload")
    need(checksum(payload) == header.payload_sum, "the payload's checksum")
    size = SIZES[header.dtype]
    if header.method == 0:
        raw = payload
    elif header.method == 1:
        planes = zstd_content(payload, header.raw_len)
        n = len(planes) // size
        raw = bytes(planes[b * n + i] for i in range(n) for b in range(size))
    else:
        raw = to_chunk(Payload(header, payload).decode(), header)
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
    values: dict = field(default_factory=dict)
    activity: dict = field(default_factory=dict)


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


class Payload:
    """A predicted payload."""

    def __init__(self, header: Header, data: bytes):
        self.header, self.frames = header, Frames(header.shape, header.time_axis)
        f, size, r = self.frames, SIZES[header.dtype], Parts(data)
        self.points = f.count * f.area
        first, flags = r.byte(), r.byte()
        self.predictor, order = first & 15, first >> 4
        need(self.predictor <= 3 and order <= 2, "predictor and time order")
        self.step, self.shift = r.number(), r.byte()
        need(1 <= self.step <= 1 << 30 and self.shift <= 12, "step and shift")
        self.offset, self.low, self.high = r.signed(), r.signed(), r.signed()
        need(-(1 << 29) <= self.low <= self.high <= 1 << 29 and abs(self.offset) <= 1 << 60, "offset, low, high")
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
        self.plan = coding_order(order, f)
        weights = Bits(r.bytes())
        if self.predictor == MULTISCALE:
            self.weights = read_weights(weights, self.plan, self.shift)
        count = r.number()
        need(1 <= count <= f.height, "number of bands")
        tables = Bits(r.bytes())
        self.tables = [read_table(tables) for _ in range(220)]
        self.bands = []
        for b in range(count):
            top, end = b * f.height // count, (b + 1) * f.height // count
            symbols = Symbols(r.bytes(), self.tables)
            self.bands.append(Band(top, end - top, f.width, symbols, Bits(r.bytes())))
        need(r.at == len(data), "bytes after the last part")
        # 6. Contexts: thresholds of the spread.
        most = (1 << 31) - 1
        self.spreads = [min(min(n * self.step, most) + 3, most) // 4 for n in (3, 6, 10, 16, 25, 40, 64, 110, 200, 400)]

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

    # --- 9. Residuals of one row --------------------------------------------------------------------------

    def row(self, band: Band, frame: int, places, contexts) -> list[int]:
        """The residuals of the points of a row; `places` are their (y, x)."""
        special = [bool(self.mask and self.mask[self.index(band, frame, y, x)]) for y, x in places]
        symbols = iter(band.symbols.row([c for c, s in zip(contexts, special) if not s]))
        out = []
        for s in special:
            if s:
                out.append(0)
                continue
            symbol = next(symbols)
            if symbol <= 40:
                out.append(unzigzag(symbol))
            else:
                n, positive = divmod(symbol - 41, 2)
                magnitude = 20 + (1 << n) + band.plain.get(n)
                out.append(wrap(magnitude if positive else -magnitude))
        return out

    # --- 6. Multiscale prediction -------------------------------------------------------------------------

    def multiscale(self, band: Band, step: Step) -> None:
        frame, h, w = step.frame, band.height, band.width
        levels = limit(max(h, w).bit_length() - 2, 1, 5)
        scale = self.step if self.kinds[frame] == NORMAL else 1
        fine = self.kinds[frame] != NORMAL
        values = [[None] * w for _ in range(h)]
        activity = [[None] * w for _ in range(h)]
        references = [(band.values[r], band.activity[r]) for r in step.references]
        smoothed = [smooth(a, mirror) for _, a in references[:2]]

        def reference_activity(y, x):
            if not smoothed:
                return 0
            return smoothed[0][y][x] if len(smoothed) == 1 else (smoothed[0][y][x] + smoothed[1][y][x]) // 2

        def code(places, predicted, contexts):
            for (y, x), p, q in zip(places, predicted, self.row(band, frame, places, contexts)):
                values[y][x] = wrap(p + q * scale)
                activity[y][x] = min(abs(q), 255)

        # Roots.
        spacing = 1 << levels
        roots = [[(y, x) for x in range(0, w, spacing)] for y in range(0, h, spacing)]
        if references:
            weights = self.weights[step.klass, ROOT]
            for line in roots:
                predicted = [self.predict(weights, lambda tap: reference_tap(references, tap, y, x)) for y, x in line]
                contexts = [22 * 9 + min(self.activity_level(5 * reference_activity(y, x)), 21) for y, x in line]
                # Roots differ from nothing: a spread of 0 passes no threshold, as all are at least 1.
                code(line, predicted, contexts)
        else:
            for i, line in enumerate(roots):
                for j, (y, x) in enumerate(line):
                    west = values[y][x - spacing] if j else None
                    north = values[y - spacing][x] if i else None
                    if i and j:
                        p = wrap(west + north - values[y - spacing][x - spacing])
                    else:
                        p = west if j else north if i else 0
                    context = 176 + (activity[y][x - spacing].bit_length() if j else 8)
                    code([(y, x)], [limit(p, self.low, self.high)], [context])
        # Passes.
        for level in range(levels - 1, -1, -1):
            size = (-(-h >> level), -(-w >> level))
            for phase in (3, 2, 1):
                a, b = phase >> 1, phase & 1
                rows, columns = (size[0] + 1 - a) // 2, (size[1] + 1 - b) // 2
                weights = self.weights[step.klass, 3 * min(level, 2) + {3: 0, 2: 1, 1: 2}[phase]]
                group = (level > 0) + 2 * bool(references) + 4 * fine
                for i in range(rows if columns else 0):
                    places, predicted, contexts = [], [], []
                    for j in range(columns):
                        y, x = (2 * i + a) << level, (2 * j + b) << level

                        def at(tap, field=values):
                            if tap[0] != "space":
                                return reference_tap(references, tap, y, x)
                            _, plane, di, dj = tap
                            place = read_plane(size, plane, i + di, j + dj) or read_plane(size, 0, i, j)
                            return field[place[0] << level][place[1] << level]

                        p = self.predict(weights, at)
                        near = [tap for tap in SPACE[phase][:4]]
                        spread = sum(abs(limit(wrap(at(t) - p), -(1 << 28), 1 << 28)) for t in near)
                        around = sum(at(t, activity) for t in near) + reference_activity(y, x)
                        passed = self.activity_level(around) + sum(spread >= t for t in self.spreads)
                        places.append((y, x))
                        predicted.append(p)
                        contexts.append(22 * group + min(passed, 21))
                    code(places, predicted, contexts)
        band.values[frame], band.activity[frame] = values, activity

    def predict(self, weights, value) -> int:
        total = sum(w * value(tap) for tap, w in weights) + (1 << self.shift) // 2
        return limit(wrap(total) >> self.shift, self.low, self.high)

    @staticmethod
    def activity_level(total: int) -> int:
        return sum(total >= t for t in (1, 2, 3, 4, 6, 8, 11, 15, 21, 30, 45, 70, 120, 240))

    # --- 7. Lorenzo prediction ----------------------------------------------------------------------------

    def lorenzo(self, band: Band, step: Step) -> None:
        frame, h, w = step.frame, band.height, band.width
        before = step.references[0] if step.references and self.predictor != LORENZO_SPACE else None
        known = band.values[before] if before is not None else [[0] * w] * h
        calm = smooth(band.activity[before], lambda i, n: None) if before is not None else [[0] * w] * h
        in_space = self.predictor != LORENZO_TIME or before is None
        values, activity = [], []

        def active(y, x):
            return activity[y][x] if y >= 0 and 0 <= x < w else 0

        for y in range(h):
            contexts = []
            for x in range(w):
                total = active(y - 1, x - 1) + active(y - 1, x) + active(y - 1, x + 1) + active(y - 2, x) + calm[y][x]
                contexts.append((44 if before is not None else 0) + min(self.activity_level(total), 21))
            q = self.row(band, frame, [(y, x) for x in range(w)], contexts)
            line, running = [], 0
            for x in range(w):
                if in_space:
                    running += q[x]
                    base = (values[y - 1][x] - known[y - 1][x] if y else 0) + known[y][x]
                    line.append(wrap(base + running))
                else:
                    line.append(wrap(known[y][x] + q[x] * (self.step if self.kinds[frame] == NORMAL else 1)))
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


def coding_order(order: int, f: Frames) -> list[Step]:
    times, last = [(0, (), 0)], f.steps - 1
    if order == PREVIOUS:
        times += [(t, (t - 1, max(t - 2, 0)), 1) for t in range(1, f.steps)]
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
            elif order == PREVIOUS:
                pairs, klass = [(references[0], z), (t, z - 1), (references[0], z - 1)], 5 + distance
            else:
                pairs, klass = [(r, z) for r in references] + [(t, z - 1)], 5 + distance
            plan.append(Step(t * f.levels + z, [s * f.levels + level for s, level in pairs], klass))
    return plan


# --- 6. Multiscale prediction -----------------------------------------------------------------------------


def beyond(i: int, parity: int, lattice: int, length: int) -> int:
    """Where row or column i of a plane is read."""
    if i < 0:
        return limit(-parity - i, 0, length - 1)
    if i >= length:
        return limit(lattice - 1 - parity - i, 0, length - 1)
    return i


def read_plane(lattice, phase: int, i: int, j: int):
    """Lattice coordinates of point (i, j) of a phase; None if the phase is empty."""
    a, b = phase >> 1, phase & 1
    rows, columns = (lattice[0] + 1 - a) // 2, (lattice[1] + 1 - b) // 2
    if rows == 0 or columns == 0:
        return None
    return 2 * beyond(i, a, lattice[0], rows) + a, 2 * beyond(j, b, lattice[1], columns) + b


def reference_tap(references, tap, y: int, x: int) -> int:
    _, r, dy, dx = tap
    values = references[r][0]
    lattice = (len(values), len(values[0]))
    v, u = y + dy, x + dx
    place = read_plane(lattice, 2 * (v % 2) + u % 2, v // 2, u // 2) or (y, x)
    return values[place[0]][place[1]]


def mirror(i: int, n: int) -> int:
    return 0 if n == 1 else -i if i < 0 else 2 * (n - 1) - i if i >= n else i


def smooth(activity, outside) -> list[list[int]]:
    """2 own + the four neighbours; `outside(i, n)` says which row or column counts for i, None: 0."""
    h, w = len(activity), len(activity[0])

    def at(y, x):
        y = y if 0 <= y < h else outside(y, h)
        x = x if 0 <= x < w else outside(x, w)
        return 0 if y is None or x is None else activity[y][x]

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
    "root": [],
}
ROOT = 9


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


DEFAULT, RADIAL_NEAR, AXIAL_NEAR, FREE_NEAR, RADIAL, AXIAL, FREE, REPEAT = range(8)


def groups(tying: int, tap_list, kind) -> tuple[list, int]:
    keys, out = [], []
    for tap in tap_list:
        dy, dx = distance(tap, kind)
        source = 0 if tap[0] == "space" else 1 + tap[1]
        near = dy * dy + dx * dx <= (2 if source <= 1 else 1)
        if tying in (DEFAULT, REPEAT) or (tying <= FREE_NEAR and not near):
            out.append(None)
            continue
        if tying in (RADIAL_NEAR, RADIAL):
            key = (source, dy * dy + dx * dx)
        elif tying in (AXIAL_NEAR, AXIAL):
            key = (source, abs(dy), abs(dx))
        else:
            key = (source, dy, dx)
        if key not in keys:
            keys.append(key)
        out.append(keys.index(key))
    return out, len(keys)


def read_weights(bits: Bits, plan: list[Step], shift: int) -> dict:
    """(class, slot) -> [(tap, weight)]."""
    counts = {s.klass: len(s.references) for s in plan}
    out, last = {}, {}
    for klass in sorted(counts):
        for slot in range(10):
            if slot == ROOT and counts[klass] == 0:
                continue
            kind = "root" if slot == ROOT else (3, 2, 1)[slot % 3]
            tap_list = taps(kind, counts[klass])
            tying, precision, values = bits.get(3), 0, []
            if tying not in (DEFAULT, REPEAT):
                precision, k = bits.get(4), bits.get(4)
                need(precision <= 12, "precision of weights")
                values = [unzigzag(bits.golomb(k)) for _ in range(groups(tying, tap_list, kind)[1])]
                last[kind, counts[klass]] = (tying, precision, values)
            elif tying == REPEAT:
                tying, precision, values = last.get((kind, counts[klass]), (DEFAULT, 0, []))
            out[klass, slot] = expand(tying, precision, values, tap_list, kind, shift)
    return out


def expand(tying, precision, values, tap_list, kind, shift):
    weights = []
    for g in groups(tying, tap_list, kind)[0]:
        v = 0 if g is None else values[g]
        weights.append(wrap(v << shift - precision) if shift >= precision else v >> precision - shift)
    missing = wrap((1 << shift) - sum(weights))
    base = 1 if kind == "root" else 4
    part = toward_zero(missing, base)
    for i in range(base):
        weights[i] = wrap(weights[i] + part)
    weights[0] = wrap(weights[0] + missing - part * base)
    return [(tap, w) for tap, w in zip(tap_list, weights) if w]


# --- 8. Frequency tables ----------------------------------------------------------------------------------

ONE = 1 << 32


def mul(x: int, y: int) -> int:
    return x * y >> 32


def read_table(bits: Bits):
    """Frequencies of the symbols in use; None for a context that does not occur."""
    if not bits.get(1):
        return None
    top = bits.get(6)
    need(top <= 51, "top of a frequency table")
    used = 2 * top + 1 if top <= 20 else 41 + 2 * (top - 20)
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

    def power(b, e):
        p = ONE
        while e:
            if e & 1:
                p = mul(p, b)
            b = mul(b, b)
            e >>= 1
        return p

    weights, tail = [(ONE - nonzero) << 8], ONE
    for k in range(1, 21):
        following = mul(tail, ratio)
        weights += 2 * [mul(tail - following, nonzero) << 7]
        tail = following
    for n in range(31):
        following = min(power(ratio, 20 + (1 << n + 1) - 1), tail)
        weights += 2 * [mul(tail - following, nonzero) << 7]
        tail = following
    weights = weights[:used]
    total = max(sum(weights), 1)
    out = [max(1, w * 4096 // total) for w in weights]
    while sum(out) > 4096:
        largest = out.index(max(out))
        out[largest] -= min(sum(out) - 4096, out[largest] // 2)
    out[out.index(max(out))] += 4096 - sum(out)
    return out


# --- 9. Residuals -----------------------------------------------------------------------------------------


class Symbols:
    """The entropy-coded symbols of a band."""

    def __init__(self, data: bytes, tables):
        need(len(data) >= 32 and len(data) % 2 == 0, "size of an entropy-coded part")
        self.states = list(struct.unpack_from("<8I", data))
        self.words = struct.unpack_from(f"<{(len(data) - 32) // 2}H", data, 32)
        self.at, self.tables, self.slots = 0, tables, {}

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

    def row(self, contexts) -> list[int]:
        out = []
        for j, context in enumerate(contexts):
            x = self.states[j % 8]
            slot = x % 4096
            symbol, f, start = self.slot_table(context)[slot]
            x = f * (x // 4096) + slot - start
            if x < 1 << 16:
                need(self.at < len(self.words), "entropy-coded words run out")
                x = (x << 16) + self.words[self.at]
                self.at += 1
            self.states[j % 8] = x
            out.append(symbol)
        return out

    def finish(self) -> None:
        need(self.at == len(self.words) and self.states == [1 << 16] * 8, "the end of an entropy-coded part")


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as f:
        sys.stdout.buffer.write(decode(f.read()))
