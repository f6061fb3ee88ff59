"""A second decoder of Augur streams, written from docs/format.md alone: plain Python, slow, for small chunks.

It exists to prove that the page is complete. Section numbers are those of the page; the header (1), values (4), the order (5), lattices
and weights (6), entropy codes (8, 9), blocks (11, 12) and the numbers that all read have files of their own. zstandard and xxhash bring the two formats that the
page refers to; network.py runs the models of streams that name one.

    python decoder.py STREAM.augur > chunk.raw
"""

from __future__ import annotations

import hashlib
import math
import sys
from dataclasses import dataclass, field

import blocks
import network
import numpy as np
from entropy import CONTEXTS, Symbols, large, read_classes, read_table
from header import LOSSLESS, SIZES, Header, read_header
from masks import read_mask, read_special
from multiscale import ACTIVITY, MOST, ROOT, SPACE, Lattice, distance, octaves, read_weights, smooth_with_zeros, taps
from order import BETWEEN, BOTH_RECONSTRUCTED, FORECAST, HIERARCHICAL, INDEPENDENT, RECONSTRUCTED, RECURRENT, Step, coding_order
from reading import Bits, Parts, checksum, factor, limit, need, wrap, zstd_content
from values import cast, exp2, log

LORENZO_SPACE, LORENZO_TIME, LORENZO_BOTH, MULTISCALE, DIRECT, BLOCKWISE = range(6)
NORMAL, FINE, PROVISIONAL = range(3)


# --- 1. Frame of the stream -------------------------------------------------------------------------------


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
    part: blocks.Blocks = None
    values: dict = field(default_factory=dict)
    activity: dict = field(default_factory=dict)
    smoothed: dict = field(default_factory=dict)


# --- 3. Payload -------------------------------------------------------------------------------------------


def everywhere(band: Band, v: int) -> list[list[int]]:
    return [[v] * band.width for _ in range(band.height)]


class Payload:
    """A predicted payload."""

    def __init__(self, header: Header, data: bytes, model: bytes | None):
        self.header, self.frames = header, Frames(header.shape, header.time_axis)
        f, size, r = self.frames, SIZES[header.dtype], Parts(data)
        self.points = f.count * f.area
        first, flags = r.byte(), r.byte()
        need(flags < 32, "flags")
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
            whole = blocks.Blocks(*blocks.read_shape(r), f)
            self.reconstruction = whole.together(blocks.Latents(r, whole.count, whole).reconstruct(self, whole))
        self.kinds = r.packed(f.count) if flags & 1 else bytes(f.count)
        need(len(self.kinds) == f.count and max(self.kinds) <= 2, "kinds of frames")
        self.special = read_special(r, f, size) if flags & 2 else {}
        self.negative = read_mask(r.bytes(), f) if flags & 4 else None
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
        self.corrected_classes = set()
        if flags & 16:
            need(self.predictor == MULTISCALE and model is not None, "corrections without a model")
            corrected = Bits(r.bytes())
            self.corrected_classes = {key for key in self.weights if key[1] < 6 and corrected.get(1)}
            need(self.corrected_classes, "corrections of nothing")
            self.network = network.Model(model)
        count = r.number()
        if self.predictor == BLOCKWISE:
            need(order <= INDEPENDENT, "order of blockwise prediction")
            self.bands = [Band(0, f.height, f.width, part=part) for part in blocks.read_parts(self, Parts(weights), r, count)]
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

    def decode(self) -> list[bytes]:
        """The values in canonical form."""
        out = [b""] * self.points
        for band in self.bands:
            self.states = {}
            if self.predictor == BLOCKWISE:
                for local, v in enumerate(blocks.predicted(self, band.part)):
                    i = band.part.in_chunk(local)
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
        for i, v in (self.special | self.patches).items():
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
        special = [self.index(band, frame, y, x) in self.special for y, x in places]
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
                    if (step.klass, slot) in self.corrected_classes:
                        p = self.correct(step, phase, level, p, scale, [at(t) for t in taps(phase, len(references))])
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

    def correct(self, step: Step, phase: int, level: int, p: int, scale: int, values: list[int]) -> int:
        """The prediction with what the network makes of the values at the taps."""
        scale = min(scale, 1 << 23)
        d = [wrap(v - p) for v in values]
        space, references = d[:16], [d[16:37], d[37:50], d[50:63]]
        t = scale + sum(abs(limit(v, -(1 << 23), 1 << 23)) for v in (space[:8] + references[0][:5] if references[0] else space))
        spread = t // 16 + 1
        reciprocal = (1 << 27) // spread
        channels = [limit(v, -8 * spread, 8 * spread) * reciprocal + (1 << 16) >> 17 for v in space]
        for r, count in zip(references, (21, 13, 13)):
            channels += [limit(v, -8 * spread, 8 * spread) * reciprocal + (1 << 16) >> 17 for v in r] or [0] * count
        yes = [phase // 2, phase % 2, level > 0, step.reconstructed or step.forecast, max(step.references, default=-1) > step.frame]
        channels += [log(scale) - log(spread), *(1024 * bool(is_so) for is_so in (*yes, step.klass >= 5)), 256 * (step.klass % 5)]
        o = int(self.network.run("corrector", [np.array(channels)[:, None, None, None]])[0][0, 0, 0, 0])
        return limit(wrap(p + (o * spread + (1 << 11) >> 12)), self.low, self.high)

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


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as f:
        sys.stdout.buffer.write(decode(f.read()))
