"""Runs the checkpointing simulations (C and Rust) and holds their files against what they computed.

Not a test module. Both programs take the same options and, with --raw, also write what they handed to HDF5 into a
plain binary file, which the error bound is checked against.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from debian import Files, largest_error, run


class Simulation:
    """One simulation: its program, its checkpoint file and its side file."""

    def __init__(self, program: Path, files: Files, directory: Path, grid=(48, 40), dtype: str = "f4"):
        self.program, self.files, self.grid, self.dtype = program, files, grid, np.dtype(dtype)
        self.path, self.raw = directory / "run.h5", directory / "run.raw"

    def start(self, *options) -> None:
        """A new run from the initial state."""
        self.raw.unlink(missing_ok=True)
        size = ["--double"] if self.dtype.itemsize == 8 else []
        self._run("--grid", "x".join(map(str, self.grid)), *size, *options)

    def resume(self, *options) -> None:
        """A run from a checkpoint, in a new process; `options` have --restart or --rewind."""
        self._run(*options)

    def _run(self, *options) -> None:
        run(self.program, self.path, "--raw", self.raw, *options, env=self.files.env)

    def computed(self) -> dict[str, np.ndarray]:
        """What the simulation handed to HDF5, last written value of each step: (time, y, x) for u and v."""
        steps = np.fromfile(self.raw, self.dtype).reshape(-1, 2, *self.grid)
        return {"u": steps[:, 0], "v": steps[:, 1]}

    def stored(self) -> dict[str, np.ndarray]:
        """What the file holds."""
        return {name: self.files.read(self.path, name) for name in ("u", "v")}

    def bytes(self) -> int:
        """Bytes that both fields take in the file."""
        return sum(self.files.stored(self.path, name) for name in ("u", "v"))

    def assert_bound(self, bound: float) -> None:
        """Every value of every step is within the bound of what the simulation wrote, and no step is missing."""
        computed, stored = self.computed(), self.stored()
        for name in ("u", "v"):
            error = largest_error(stored[name], computed[name])
            assert error <= bound, f"/{name}: largest error {error} is {error / bound} of the bound {bound}"

    def bytes_of_full_chunks(self, path: Path | None = None) -> int:
        """Bytes of both fields' full chunks, in the simulation's file or in another."""
        return sum(self.files.stored_in_full_chunks(path or self.path, name) for name in ("u", "v"))

    def write_at_once(self, path: Path, bound: float, chunk: int) -> Path:
        """Writes what the simulation computed in one call into another file."""
        for name, values in self.computed().items():
            self.files.write_augur(path, values, bound, (chunk, *self.grid), name)
        return path
