"""Who takes part in a comparison: Augur's presets and the filters that others use."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass


@dataclass(frozen=True)
class Contestant:
    """One compressor: its label, its name in the demo's `contenders.py`, and how it is drawn."""

    label: str
    name: str
    colour: str
    marker: str
    package: str
    preset: str = "balanced"
    lossless: bool = False


ALL = [
    Contestant("Augur balanced", "augur", "#0072B2", "o", "h5augur"),
    Contestant("Augur fast", "augur", "#56B4E9", "s", "h5augur", preset="fast"),
    Contestant("SZ3 3.4 (pysz)", "sz34", "#D55E00", "^", "pysz"),
    Contestant("SZ3 (hdf5plugin)", "sz3", "#E69F00", "v", "hdf5plugin"),
    Contestant("SZ2 (hdf5plugin)", "sz2", "#B8860B", "<", "hdf5plugin"),
    Contestant("ZFP (hdf5plugin)", "zfp", "#009E73", "D", "hdf5plugin"),
    Contestant("SPERR (hdf5plugin)", "sperr", "#CC79A7", "P", "hdf5plugin"),
    Contestant("Augur lossless", "augur", "#003A5D", "X", "h5augur", preset="lossless", lossless=True),
    Contestant("shuffle + zstd 9", "zstd", "#555555", "d", "hdf5plugin", lossless=True),
    Contestant("Blosc2 zstd 5", "blosc2", "#999999", "h", "hdf5plugin", lossless=True),
]


def present() -> list[Contestant]:
    """Those whose packages are installed; says once for each package that is not who is left out."""
    missing = {c.package for c in ALL if importlib.util.find_spec(c.package) is None}
    for package in sorted(missing):
        labels = ", ".join(c.label for c in ALL if c.package == package)
        print(f"left out: {labels}: the Python package {package} is not installed")
    return [c for c in ALL if c.package not in missing]
