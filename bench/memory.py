#!/usr/bin/env python3
"""The memory that the codec takes, in multiples of the chunk: a table of docs/performance.md (Linux).

    memory.py [--document docs/performance.md] [--repository .]

Each figure is the largest resident size of a process that codes one chunk and has done nothing before, less what it had when
it had read its input: buffers that the codec keeps for the next chunk count, and so does the result.
"""

from __future__ import annotations

import argparse
import os
import tempfile

import document
import numpy as np
from roofline import answer, build

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPE = (16, 512, 512)
CASES = [("float32", "balanced", 1e-3), ("float32", "fast", 1e-3), ("float32", "balanced", 1e-5), ("float32", "lossless", 1e-3),
         ("float64", "balanced", 1e-3), ("float64", "fast", 1e-3)]


def field(dtype: str) -> np.ndarray:
    """Travelling waves with a little noise; their range is about 2.8."""
    t, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    noise = np.random.default_rng(1).uniform(-0.002, 0.002, SHAPE)
    return (np.sin(0.05 * x - 0.2 * t) * np.cos(0.03 * y + 0.1 * t) + 0.4 * np.sin(0.11 * x + 0.07 * y - 0.3 * t) + noise).astype(dtype)


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--document", help="puts the table into this page, too")
    parser.add_argument("--repository", default=os.path.join(HERE, ".."), help="where augur's sources lie")
    args = parser.parse_args()
    binary = build(args.repository)
    lines = ["| type | preset | bound / range | encode, 1 thread | 2 threads | decode, 1 thread | 2 threads |", "|---|---|---|---:|---:|---:|---:|"]
    with tempfile.TemporaryDirectory() as directory:
        raw, stream = os.path.join(directory, "raw"), os.path.join(directory, "stream")
        for dtype, preset, rel in CASES:
            values = field(dtype)
            values.astype(values.dtype.newbyteorder("<")).tofile(raw)
            cells = []
            for action in ("encode", "decode"):
                for threads in (1, 2):
                    used = answer([binary, "memory", raw, dtype, "x".join(map(str, SHAPE)), repr(2.8 * rel), preset, action,
                                   str(threads), stream])["bytes"]
                    cells.append(f"{used / values.nbytes:.2f}")
            lines.append(f"| {dtype} | {preset} | {rel:g} | " + " | ".join(cells) + " |")
    text = "\n".join(lines)
    print(text)
    if args.document:
        document.put(args.document, "memory", text)


if __name__ == "__main__":
    main()
