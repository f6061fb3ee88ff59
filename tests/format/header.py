"""The header of a stream: section 1 of docs/format.md."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from reading import checksum, need

SIZES = {1: 2, 2: 4, 3: 8, 4: 1, 5: 1, 6: 2, 7: 2, 8: 4, 9: 4}
LOSSLESS, PREDICTED, LEARNED = 1, 2, 3


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
