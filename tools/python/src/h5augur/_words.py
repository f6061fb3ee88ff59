"""The filter's client data values (cd_values): packing and unpacking the user's words.

Layout version 1, 32-bit words, doubles as two words with the low one first:

====== ==========================================================================================
word   content
====== ==========================================================================================
0      bits 0-7 layout version, 8-15 preset, 16 expanded by the filter, 17 fill value given,
       18 fill value taken from the dataset, 19 big-endian data, 26 no writing without the model,
       27-29 steps of the warm-up, 30 open loop (both with the preset tezip), 30 with the presets ae-sz and
       cae: selection by distance
1      bits 0-7 bound mode, 20-23 time axis, 24-31 key frames (preset tezip): 0 the first step only,
       2-127 every so many, 128 + k where the threshold 2^(-k/4) is exceeded; the filter fills the rest
2-3    first parameter of the bound (float64)
4-5    second parameter of the bound (float64), or the fill value (float64, cast to the data type)
6-9    first 16 bytes of the SHA-256 of the model's file, low byte first; 0: none, or the one that the
       dataset's attribute names
10-15  what the filter fills in
====== ==========================================================================================

Missing words are 0. `docs/filter.md` describes the layout in full.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

FILTER_ID = 49493
"""Number of the filter in HDF5 files (private range until one is assigned)."""

LAYOUT_VERSION = 1

PRESETS: dict[str, int] = {
    "balanced": 0, "fast": 1, "lossless": 2, "learned": 3, "tezip": 4, "tezip+": 5, "ae-sz": 6, "ae-sz+": 7, "cae": 8,
}
"""Presets by name, with the code that cd_values hold."""

MODEL_PRESETS = ("learned", "tezip", "tezip+", "ae-sz", "ae-sz+", "cae")
"""Presets that a trained model may help."""

BLOCKWISE_PRESETS = ("ae-sz", "cae")
"""Presets that choose a prediction for each block."""

LOSSLESS, ABSOLUTE, RELATIVE, ABSREL, POINTWISE, PSNR = range(6)
"""Bound modes."""

MAX_TIME_AXIS = 15  # four bits in word 1
MAX_WARM_UP = 7  # three bits in word 0
MAX_WINDOW = 127
LEAST_THRESHOLD = 2.0**-31

_FILL_GIVEN = 1 << 17
_STRICT = 1 << 26
_WARM_UP_SHIFT = 27
_OPEN_LOOP = 1 << 30
_BY_DISTANCE = 1 << 30
_KEYS_SHIFT = 24
_THRESHOLD = 128  # in the bits of key frames


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
    window: int = 0
    """Preset tezip: a key frame every so many steps; 0: not so."""
    threshold: float = 0.0
    """Preset tezip: the mean squared error, over the squared range, beyond which there is a key frame; 0.0: not so."""
    warm_up: int = 0
    open_loop: bool = False
    selection: str = "length"
    """Presets ae-sz and cae: by what the prediction of a block is chosen, "length" or "distance"."""


def nearest_threshold(threshold: float) -> float:
    """The power of 2 to a quarter that cd_values hold for it."""
    return 2.0 ** (-_quarters(threshold) / 4)


def _quarters(threshold: float) -> int:
    return math.floor(0.5 - 4 * math.log2(threshold))


def pack(words: Words) -> tuple[int, ...]:
    """The shortest cd_values that say this: trailing words that are 0 are left out."""
    flags = 0 if words.fill is None else _FILL_GIVEN
    flags |= _STRICT if words.strict else 0
    flags |= words.warm_up << _WARM_UP_SHIFT | (_OPEN_LOOP if words.open_loop else 0)
    flags |= _BY_DISTANCE if words.selection == "distance" else 0
    keys = _THRESHOLD + _quarters(words.threshold) if words.threshold else words.window
    tail = words.second if words.fill is None else words.fill
    out = [
        LAYOUT_VERSION | PRESETS[words.preset] << 8 | flags,
        words.mode | words.time_axis << 20 | keys << _KEYS_SHIFT,
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
    window, threshold = _keys(v[1] >> _KEYS_SHIFT)
    blockwise = name in BLOCKWISE_PRESETS
    selection = "distance" if blockwise and v[0] & _BY_DISTANCE else "length"
    warm_up, open_loop = v[0] >> _WARM_UP_SHIFT & MAX_WARM_UP, bool(v[0] & _OPEN_LOOP) and not blockwise
    if name != "tezip" and (window or threshold or warm_up or open_loop):
        raise ValueError(f"cd_values state key frames, a warm-up or an open loop with the preset {name}, expected with tezip only")
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
        name, mode, first, second, fill, v[1] >> 20 & 0xF, model if any(model) else b"", bool(v[0] & _STRICT),
        window, threshold, warm_up, open_loop, selection,
    )


def _keys(code: int) -> tuple[int, float]:
    """The window and the threshold that the bits of key frames state; one of them, or none, is not 0."""
    if code == 1 or code > _THRESHOLD + _quarters(LEAST_THRESHOLD):
        raise ValueError(f"key frames {code} are unknown, expected 0, 2 to {MAX_WINDOW}, or {_THRESHOLD} to {_THRESHOLD + _quarters(LEAST_THRESHOLD)}")
    return (code, 0.0) if code < _THRESHOLD else (0, 2.0 ** (-(code - _THRESHOLD) / 4))
