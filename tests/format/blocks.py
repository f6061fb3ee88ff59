"""Blocks, latents and blockwise prediction: sections 11 and 12 of docs/format.md. `payload` is the decoder's Payload."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import network
import numpy as np
from entropy import ESCAPE, Huffman, Symbols, large, read_code, read_table
from reading import Bits, Parts, factor, limit, need, unzigzag, wrap

if TYPE_CHECKING:
    from decoder import Frames, Payload

NORMAL = 0
IN_TIME, IN_LEVELS, RUNS = range(3)
MEAN, LORENZO, PLANE, NETWORK = range(4)


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


def read_parts(payload, r: Parts, rest: Parts, count: int) -> list[Blocks]:
    """The parts, each with all that its blocks need."""
    f, shape = payload.frames, read_shape(r)
    blocks = Blocks(*shape, f)
    each = f.count * f.area // blocks.size[2] if blocks.kind == RUNS else f.height // max(64, blocks.size[1])
    need(1 <= count <= max(1, min(f.count * f.area >> 19, each, 256)), "number of parts")
    modes = r.packed(blocks.count)
    need(len(modes) == blocks.count and max(modes) <= NETWORK, "modes of blocks")
    means, *planes = ([summed(r, modes.count(mode)) for mode in (MEAN, *[PLANE] * 4)])
    quantum = max(1, payload.step // 4)
    sides = [max(1, 256 * quantum // n) for n in blocks.size]
    means = [(quantum * m, (0, 0, 0)) for m in means]
    planes = [(quantum * base, tuple(s * q for s, q in zip(slopes, sides))) for base, *slopes in zip(*planes)]
    need(all(abs(v) <= 1 << 44 for base, slopes in means + planes for v in (base, *slopes)), "means and slopes")
    made = []
    if NETWORK in modes:
        latents = Latents(r, modes.count(NETWORK), blocks)
        made = latents.reconstruct(payload, blocks)
    need(r.at == len(r.data), "bytes after the blocks")
    lists = {MEAN: iter(means), PLANE: iter(planes), NETWORK: iter(made), LORENZO: iter(lambda: None, 0)}
    code, parts, modes = read_code(rest), [], iter(modes)
    for p in range(count):
        part = blocks.part(p, count)
        part.modes = [next(modes) for _ in range(part.count)]
        part.given = [next(lists[mode]) for mode in part.modes]
        points = math.prod(part.extent)
        part.symbols = Huffman(code, rest.packed((30 * points + 7) // 8))
        part.escapes = Parts(rest.packed(5 * points))
        parts.append(part)
    return parts


def predicted(payload, part: Blocks) -> list[int]:
    """The integers of a part's points."""
    values = [0] * math.prod(part.extent)
    for block, (mode, given) in enumerate(zip(part.modes, part.given)):
        for places in part.rows(block):
            frames = {part.in_chunk(i) // payload.frames.area for _, i, _ in places}
            scale = payload.step if all(payload.kinds[frame] == NORMAL for frame in frames) else 1
            for place, i, at in places:
                if mode == LORENZO:
                    p = from_before(part, values, at)
                elif mode == NETWORK:
                    p = given[place]
                else:
                    base, slopes = given
                    inside = (place // part.size[2] // part.size[1], place // part.size[2] % part.size[1], place % part.size[2])
                    p = base + (sum(s * x for s, x in zip(slopes, inside)) + 128 >> 8)
                p = limit(p, payload.low, payload.high)
                special = part.in_chunk(i) in payload.special
                values[i] = p if special else wrap(p + residual(part) * scale)
    part.symbols.finish()
    need(part.escapes.at == len(part.escapes.data), "escapes that nothing uses")
    return values


def residual(part: Blocks) -> int:
    symbol = part.symbols.next()
    if symbol < ESCAPE:
        return unzigzag(symbol)
    u = part.escapes.number()
    need(u < 1 << 32, "an escape")
    return unzigzag(u)


def from_before(part: Blocks, values, at) -> int:
    total = 0
    for back in range(1, 8):
        steps = [back >> k & 1 for k in range(3)]
        if all(x >= s for x, s in zip(at[1:], steps)):
            there = part.index([at[0], *(x - s for x, s in zip(at[1:], steps))])
            total += values[there] * (1 if sum(steps) % 2 else -1)
    return wrap(total)
