"""Powers and logarithms of 2, and the cast to the stored type: section 4 of docs/format.md."""

from __future__ import annotations

import math
import struct

from header import SIZES
from reading import limit, toward_zero

INTEGERS = {4: "b", 5: "B", 6: "h", 7: "H", 8: "i", 9: "I"}

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


def log(x: int) -> int:
    """256 times the base-2 logarithm, linear between powers of 2."""
    m = x.bit_length() - 1
    return 256 * m + (256 * (x - (1 << m)) >> m)


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
