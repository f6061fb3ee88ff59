"""Lattices, taps and weights of the multiscale predictor: section 6 of docs/format.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reading import Bits, limit, need, toward_zero, unzigzag, wrap

if TYPE_CHECKING:
    from order import Step


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
