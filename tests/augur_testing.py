"""Test data, the filter's client data values, and the promise about errors, for programs under test.

It needs numpy alone and imports neither h5augur nor h5py, so that a test can say which it loads, and when.
"""

from __future__ import annotations

import struct

import numpy as np

FILTER_ID = 49493
PRESETS = {
    "balanced": 0, "fast": 1, "lossless": 2, "learned": 3, "tezip": 4, "tezip+": 5, "ae-sz": 6, "ae-sz+": 7, "cae": 8,
}
MODES = {"lossless": 0, "absolute": 1, "relative": 2, "absrel": 3, "pointwise_relative": 4, "psnr": 5}


def words(mode: str, first: float = 0.0, second: float = 0.0, preset: str = "balanced", time_axis: int = 0, *,
          keys: int = 0, warm_up: int = 0, open_loop: bool = False, by_distance: bool = False, model: bytes = b"") -> tuple[int, ...]:
    """cd_values in the user's form, written down from the documented layout and not taken from h5augur.

    With the preset `tezip`: `keys` is 2 to 127 for a key frame every so many steps, 128 + k for a threshold of 2^(-k/4).
    With `ae-sz` and `cae`: `by_distance` chooses predictions by their differences. With one that uses models: `model` is the digest, of which the first half counts.
    """
    head = (1 | PRESETS[preset] << 8 | warm_up << 27 | (open_loop or by_distance) << 30, MODES[mode] | time_axis << 20 | keys << 24)
    return (*head, *struct.unpack("<4I", struct.pack("<2d", first, second)), *(struct.unpack("<4I", model[:16]) if model else ()))


def field(shape: tuple[int, ...], dtype="f4", seed: int = 1, noise: float = 0.02) -> np.ndarray:
    """Waves that travel along the first axis, with some noise, from about -1.5 to 1.5; integers use half of their range."""
    rng = np.random.default_rng(seed)
    grids = np.meshgrid(*[np.arange(n, dtype="f8") for n in shape], indexing="ij", sparse=True)
    phase = sum((0.31 / (i + 1)) * g for i, g in enumerate(grids[1:])) if len(shape) > 1 else 0.0
    values = np.sin(phase + 0.2 * grids[0]) + 0.5 * np.cos(0.7 * phase - 0.11 * grids[0]) + np.zeros(shape)
    values += noise * rng.standard_normal(shape)
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        half = (float(info.max) - float(info.min)) / 2
        values = np.clip(info.min + half * (1 + values / 4), info.min, info.max)
        return np.rint(values).astype(dtype)
    return values.astype(dtype)


def largest_error(original: np.ndarray, decoded: np.ndarray, where=True) -> float:
    """Largest |original - decoded| over points that are finite in the original, exact for every type."""
    assert original.shape == decoded.shape, (original.shape, decoded.shape)
    native = lambda a: np.asarray(a).astype(a.dtype.newbyteorder("="))  # noqa: E731
    a, b = native(original), native(decoded)
    if a.dtype.kind in "iu":
        error = np.abs(a.astype("i8") - b.astype("i8")).astype(np.longdouble)
    else:
        with np.errstate(invalid="ignore"):
            error = np.abs(a.astype(np.longdouble) - b.astype(np.longdouble))
        where = where & np.isfinite(a)
        # A finite value that came back as NaN or infinity is an error without limit.
        error = np.where(np.isfinite(b), error, np.longdouble(np.inf))
    error = np.where(where, error, 0)
    return error.max() if error.size else np.longdouble(0)


def bits(a: np.ndarray) -> np.ndarray:
    """The values' bits as unsigned integers, so that NaN payloads and signed zeros compare."""
    return np.ascontiguousarray(a).view(f"{a.dtype.byteorder.replace('|', '=')}u{a.dtype.itemsize}")


def assert_bound(original: np.ndarray, decoded: np.ndarray, bound: float, fill=None, what: str = "") -> None:
    """The promise: every finite value within the bound, everything special with the very same bits."""
    assert decoded.dtype == original.dtype, (decoded.dtype, original.dtype)
    special = np.zeros(original.shape, bool)
    if original.dtype.kind == "f":
        special |= ~np.isfinite(original)
    if fill is not None:
        special |= original == np.asarray(fill).astype(original.dtype)
    same = bits(original)[special] == bits(decoded)[special]
    assert same.all(), f"{what}: {np.count_nonzero(~same)} of {same.size} special values changed"
    error = largest_error(original, decoded, ~special)
    assert error <= np.longdouble(bound), f"{what}: largest error {error} is {error / np.longdouble(bound)} of the bound {bound}"
