"""The filter's client data values (cd_values): packing and unpacking the user's words.

Layout version 1, 32-bit words, doubles as two words with the low one first:

====== ==========================================================================================
word   content
====== ==========================================================================================
0      bits 0-7 layout version, 8-15 preset, 16 expanded by the filter, 17 fill value given,
       18 fill value taken from the dataset, 19 big-endian data, 26 no writing without the model
1      bits 0-7 bound mode, 20-23 time axis; the filter fills the rest
2-3    first parameter of the bound (float64)
4-5    second parameter of the bound (float64), or the fill value (float64, cast to the data type)
6-9    first 16 bytes of the SHA-256 of the model's file, low byte first; 0: none, or the one that the
       dataset's attribute names
10-15  what the filter fills in
====== ==========================================================================================

Missing words are 0. `docs/filter.md` describes the layout in full.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

FILTER_ID = 49493
"""Number of the filter in HDF5 files (private range until one is assigned)."""

LAYOUT_VERSION = 1

PRESETS: dict[str, int] = {"balanced": 0, "fast": 1, "lossless": 2, "learned": 3}
"""Presets by name, with the code that cd_values hold."""

LOSSLESS, ABSOLUTE, RELATIVE, ABSREL, POINTWISE, PSNR = range(6)
"""Bound modes."""

MAX_TIME_AXIS = 15  # four bits in word 1

_FILL_GIVEN = 1 << 17
_STRICT = 1 << 26


class Words(NamedTuple):
    """What a user can choose, as cd_values hold it; 0.0 stands for a parameter that is not used."""

    preset: str
    mode: int
    first: float
    second: float
    fill: float | None
    time_axis: int
    model: bytes = b""
    """First 16 bytes of the model's digest, or none."""
    strict: bool = False


def pack(words: Words) -> tuple[int, ...]:
    """The shortest cd_values that say this: trailing words that are 0 are left out."""
    flags = 0 if words.fill is None else _FILL_GIVEN
    flags |= _STRICT if words.strict else 0
    tail = words.second if words.fill is None else words.fill
    out = [
        LAYOUT_VERSION | PRESETS[words.preset] << 8 | flags,
        words.mode | words.time_axis << 20,
        *struct.unpack("<4I", struct.pack("<2d", words.first, tail)),
        *struct.unpack("<4I", words.model.ljust(16, b"\0")),
    ]
    while out[-1] == 0:
        out.pop()
    return tuple(out)


def unpack(values: Sequence[int]) -> Words:
    """What these cd_values ask for: those that `pack` made, or those that a dataset holds.

    :raises ValueError: cd_values that no version of this package could have made
    :raises NotImplementedError: a layout version that this version does not know
    """
    v = [int(x) & 0xFFFFFFFF for x in values]
    if not v:
        return Words("balanced", LOSSLESS, 0.0, 0.0, None, 0)
    if len(v) > 16:
        raise ValueError(f"{len(v)} cd_values were given, Augur has at most 16")
    v += [0] * (16 - len(v))
    version = v[0] & 0xFF
    if version != LAYOUT_VERSION:
        raise NotImplementedError(
            f"cd_values of layout version {version} are not known to this version of h5augur, "
            f"which knows version {LAYOUT_VERSION}; update h5augur"
        )
    code = v[0] >> 8 & 0xFF
    name = next((n for n, c in PRESETS.items() if c == code), None)
    if name is None:
        raise ValueError(f"preset {code} is unknown, expected one of {sorted(PRESETS.values())}")
    mode = v[1] & 0xFF
    if mode > PSNR:
        raise ValueError(f"bound mode {mode} is unknown, expected 0 to {PSNR}")
    first, second = struct.unpack("<2d", struct.pack("<4I", *v[2:6]))
    fill = None
    if v[0] & _FILL_GIVEN:
        fill, second = second, 0.0
    elif v[0] & 1 << 18:  # the dataset's fill value, put there by the filter
        second = 0.0
    expanded = v[0] & 1 << 16
    # Place 5 of the dataset's own fill value: it stands where the digest would.
    model = b"" if expanded and v[0] >> 23 & 7 == 5 else struct.pack("<4I", *v[6:10])
    return Words(
        name, mode, first, second, fill, v[1] >> 20 & 0xF, model if any(model) else b"", bool(v[0] & _STRICT)
    )
