"""Special points and masks of docs/format.md, section 3."""

from __future__ import annotations

from collections import defaultdict

from reading import Parts, need

CELL = 8


class Decisions:
    """The binary arithmetic decoder."""

    def __init__(self, data: bytes):
        self.data, self.at, self.code, self.range = data, 0, 0, (1 << 32) - 1
        self.contexts = defaultdict(lambda: [1 << 21, 0])
        for _ in range(4):
            self.shift()

    def shift(self):
        byte = self.data[self.at] if self.at < len(self.data) else 0
        self.at += 1
        self.code = self.code << 8 | byte

    def decide(self, *context) -> int:
        state = self.contexts[context]
        p, n = state
        bound = (self.range >> 16) * min(max(p >> 6, 32), 65504)
        bit = int(self.code < bound)
        if bit:
            self.range = bound
        else:
            self.code -= bound
            self.range -= bound
        while self.range < 1 << 24:
            self.shift()
            self.range <<= 8
        aim = (1 << 22) - 1 if bit else 0
        state[:] = [p + ((aim - p) * ((1 << 17) // (2 * n + 3)) >> 16), min(n + 1, 255)]
        return bit


def read_mask(data: bytes, frames, among: list[int] | None = None) -> list[int]:
    """The bit of each point."""
    coder, width, height = Decisions(data), frames.width, frames.height
    among = among or [1] * (frames.count * frames.area)
    out: list[list[list[int]]] = []
    for f in range(frames.count):
        kind = 2 if f >= frames.levels else 1 if f > 0 else 0
        reference = out[f - frames.levels] if kind == 2 else out[f - 1] if kind == 1 else None
        start = f * frames.area
        room = [among[start + y * width : start + (y + 1) * width] for y in range(height)]
        if reference and coder.decide("frame", kind):
            out.append([[r & m for r, m in zip(*rows)] for rows in zip(reference, room)])
            continue
        rows, repeated = [], 0
        for y in range(height):
            if reference:
                repeated = coder.decide("row", kind, repeated)
                if repeated:
                    rows.append([r & m for r, m in zip(reference[y], room[y])])
                    continue
            above = rows[y - 1] if y else reference[0] if reference else [0] * width
            around = [above] * 3
            if reference:
                around = [reference[min(max(y + dy, 0), height - 1)] for dy in (-1, 0, 1)]
            rows.append(read_row(coder, kind, above, around, room[y]))
        out.append(rows)
    need(coder.at >= len(data), "bytes of a mask that are not used")
    return [bit for rows in out for row in rows for bit in row]


def read_row(coder: Decisions, kind: int, above, around, room) -> list[int]:
    row, width = [], len(room)

    def of(known, x):
        return known[min(max(x, 0), width - 1)]

    def left(x):
        return row[x] if x >= 0 else above[0]

    up, here, down = around
    for x in range(0, width, CELL):
        cell = room[x : x + CELL]
        if not any(cell):
            row += cell
            continue
        seen = {left(x - 1), left(x - 2)} | {of(r, x + dx) for r in (above, *around) for dx in range(-1, CELL + 1)}
        if len(seen) == 1:
            bit = seen.pop()
            if coder.decide("cell", kind, bit):
                row += [bit & m for m in cell]
                continue
        for at, free in enumerate(cell, x):
            bits = [left(at - 1), left(at - 2), *(of(above, at + dx) for dx in (-1, 0, 1))]
            bits += [of(here, at), of(here, at + 1), of(down, at), of(here, at - 1), of(up, at)]
            row.append(coder.decide("point", kind, *bits) if free else 0)
    return row


def read_special(r: Parts, frames, size: int) -> dict[int, bytes]:
    """The values of the special points, by their index."""
    left = read_mask(r.bytes(), frames)
    kinds = r.byte()
    count, others = kinds & 127, kinds >> 7
    need(count <= 8 and (count or others), "kinds of special values")
    out = {}
    for k in range(count):
        value = r.bytes(size)
        own = read_mask(r.bytes(), frames, left) if k + 1 < count or others else left
        out |= {i: value for i, bit in enumerate(own) if bit}
        left = [a & ~b for a, b in zip(left, own)]
    if others:
        values = r.packed(sum(left) * size)
        need(len(values) == sum(left) * size, "special values")
        out |= {i: values[n * size : (n + 1) * size] for n, i in enumerate(i for i, bit in enumerate(left) if bit)}
    return out
