"""Numbers, byte strings and bits of a stream, and what makes it a damaged one: what sections 1 and 3 of docs/format.md begin with."""

from __future__ import annotations

import xxhash
import zstandard


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
