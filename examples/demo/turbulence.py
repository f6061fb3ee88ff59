#!/usr/bin/env python3
"""Simulates forced two-dimensional turbulence and writes its vorticity to an HDF5 file: a field for the demo that a
network can learn to forecast, from a run of which nothing was seen before.

    turbulence.py OUT.h5 [--size 256] [--steps 96] [--seed 1]

Vorticity equation in a doubly periodic box, pseudo-spectral with the 2/3 rule, fourth-order Runge-Kutta steps with
the linear terms as an integrating factor (Canuto et al. 2006, "Spectral Methods", sections 3.3 and D.3).
"""

from __future__ import annotations

import argparse
import os
import sys

import h5py
import numpy as np

DRAG = 0.05  # per unit of time, of the largest scales
FORCED = 6.0, 9.0  # wave numbers that are forced
FORCE = 0.3
STEP = 0.02  # of time
BETWEEN = 12  # steps from one frame to the next
BEFORE = 800  # steps until the flow has developed


class Flow:
    """The flow: the Fourier coefficients of its vorticity."""

    def __init__(self, size: int, seed: int):
        self.size, self.rng = size, np.random.default_rng(seed)
        ky, kx = np.meshgrid(np.fft.fftfreq(size, 1 / size), np.fft.rfftfreq(size, 1 / size), indexing="ij")
        self.ky, self.kx, square = ky, kx, kx**2 + ky**2
        self.inverse = np.divide(1, square, out=np.zeros_like(square), where=square > 0)
        self.kept = (np.abs(kx) < size / 3) & (np.abs(ky) < size / 3)
        viscosity = 20 / (size / 3) ** 4  # of the fourth power of the wave number: strong at the smallest scales only
        self.decay = np.exp(-(DRAG + viscosity * square**2) * STEP / 2)
        self.ring = (square >= FORCED[0] ** 2) & (square <= FORCED[1] ** 2)
        self.force = self.pattern()
        self.w = self.pattern() * 5

    def pattern(self) -> np.ndarray:
        """A random field of the forced wave numbers, of unit deviation."""
        field = np.fft.irfft2(np.fft.rfft2(self.rng.standard_normal((self.size, self.size))) * self.ring, s=(self.size,) * 2)
        return np.fft.rfft2(field / field.std())

    def change(self, w: np.ndarray) -> np.ndarray:
        """What advection and forcing do to the vorticity per unit of time."""
        stream = w * self.inverse
        parts = np.fft.irfft2(np.stack([1j * self.ky * stream, -1j * self.kx * stream, 1j * self.kx * w, 1j * self.ky * w]), s=(self.size,) * 2)
        return (FORCE * self.force - np.fft.rfft2(parts[0] * parts[2] + parts[1] * parts[3])) * self.kept

    def advance(self) -> None:
        """One step in time."""
        w, e, h = self.w, self.decay, STEP
        a = self.change(w)
        b = self.change(e * (w + h / 2 * a))
        c = self.change(e * w + h / 2 * b)
        d = self.change(e * e * w + h * e * c)
        self.w = e * e * w + h / 6 * (e * e * a + 2 * e * (b + c) + d)
        # The forcing changes slowly, at random.
        self.force = 0.98 * self.force + np.sqrt(1 - 0.98**2) * self.pattern()

    def vorticity(self) -> np.ndarray:
        """The field as it is written."""
        return np.fft.irfft2(self.w, s=(self.size,) * 2).astype("f4")


def main() -> int:
    """Simulates and writes; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="file to write: dataset vorticity of shape (time, y, x)")
    parser.add_argument("--size", type=int, default=256, help="points in each direction")
    parser.add_argument("--steps", type=int, default=96, help="frames to write")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.size < 32 or args.steps < 1:
        parser.error("at least 32 points in each direction and 1 frame")
    if os.path.exists(args.out):
        print(f"{args.out} is there already")
        return 0
    flow = Flow(args.size, args.seed)
    for _ in range(BEFORE):
        flow.advance()
    frames = np.empty((args.steps, args.size, args.size), "f4")
    for t in range(args.steps):
        if sys.stderr.isatty():
            print(f"\rsimulating turbulence: frame {t + 1} of {args.steps}", end="", file=sys.stderr)
        for _ in range(BETWEEN):
            flow.advance()
        frames[t] = flow.vorticity()
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if not np.isfinite(frames).all():
        raise SystemExit("error: the simulation became unstable; try more points in each direction")
    os.makedirs(os.path.dirname(os.path.abspath(args.out)), exist_ok=True)
    with h5py.File(args.out + ".part", "w") as f:
        d = f.create_dataset("vorticity", data=frames, chunks=(min(16, args.steps), args.size, args.size))
        d.attrs["units"] = "1"
        d.attrs["long_name"] = "vorticity of forced two-dimensional turbulence"
    os.replace(args.out + ".part", args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
