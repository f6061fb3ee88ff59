#!/usr/bin/env python3
"""Compresses a real field through h5py with Augur, SZ3 and ZFP at the same error bounds, reads it back in a
second process, and prints how small, how exact and how fast; draws original, decoded and error.

    demo.py FILE[:/dataset] [--rel 1e-2 1e-3 1e-4] [--preset balanced] [--model MODEL] [--skip STEPS] [--picture demo.png]

With a model the preset learned is measured, too: the weights lie in the file that it writes and are counted.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np
from fields import Field, load

NAMES = {
    "augur": "Augur",
    "learned": "Augur learned",
    "sz34": "SZ3 3.4 (pysz, in memory)",
    "sz3": "SZ3 (hdf5plugin)",
    "zfp": "ZFP (hdf5plugin)",
}
OWN = "augur", "learned"
TIMEOUT = 120  # seconds for one compressor; some do not come back from unusual data


def chunk_shape(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """16 time steps by whole frames, more steps of small frames; chunks above 64 MiB are halved along their longest axis."""
    chunk = [min(max(16, 65536 // math.prod(shape[1:])), shape[0]), *shape[1:]]
    while math.prod(chunk) * itemsize > 64 << 20:
        axis = max(range(len(chunk)), key=lambda i: (chunk[i], -i))
        chunk[axis] = -(-chunk[axis] // 2)
    return tuple(chunk)


def run(directory: str, **job) -> dict:
    """Runs a job of contenders.py in a process of its own, on one core."""
    job["answer"] = os.path.join(directory, "answer.json")
    path = os.path.join(directory, "job.json")
    with open(path, "w") as f:
        json.dump(job, f)
    if os.path.exists(job["answer"]):
        os.unlink(job["answer"])
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "contenders.py")
    try:
        done = subprocess.run([sys.executable, script, path], capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"no answer in {TIMEOUT} s") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"ended with {done.returncode}")
    with open(job["answer"]) as f:
        return json.load(f)


def measure(directory: str, field: Field, name: str, bound: float, args) -> tuple[dict, np.ndarray]:
    """Size, error and speed of one compressor at one absolute bound, and the decoded field."""
    job = dict(name=name, bound=bound, preset=args.preset, model=args.model, repeat=args.repeat, fill=field.fill,
               chunks=chunk_shape(field.values.shape, field.values.dtype.itemsize), file=os.path.join(directory, "compressed"))
    values = field.values
    if name not in OWN and not field.valid.all():  # they break on NaN and fill values: give them data without
        values = np.where(field.valid, values, values[field.valid].mean().astype(values.dtype))
    source = os.path.join(directory, "values.npy")
    np.save(source, values)
    written = run(directory, action="write", values=source, **job)
    target = os.path.join(directory, "decoded.npy")
    read = run(directory, action="read", values=target, **job)
    decoded = np.load(target)
    if field.values.dtype.kind in "iu" and decoded.dtype.kind == "f":
        info = np.iinfo(field.values.dtype)
        decoded = np.clip(np.rint(decoded), info.min, info.max).astype(field.values.dtype)
    # Differences of float64 values are taken in a wider type where there is one.
    wide = np.longdouble if field.values.dtype.itemsize > 4 else np.float64
    error = np.abs(decoded.astype(wide) - field.values.astype(wide))[field.valid]
    mse = float((error.astype("f8") ** 2).mean())
    megabytes = field.values.nbytes / 1e6
    same = decoded[~field.valid].tobytes() == field.values[~field.valid].tobytes()
    return dict(name=name, ratio=field.values.nbytes / written["bytes"], weights=written["weights"], error=float(error.max() / wide(bound)),
                psnr=20 * math.log10(field.value_range) - 10 * math.log10(mse) if mse else math.inf,
                write=megabytes / written["seconds"], read=megabytes / read["seconds"], special=same), decoded


def main() -> int:
    """Runs the comparison and returns the exit status: 1 if Augur broke its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="FILE or FILE:/dataset (HDF5, netCDF-3, netCDF-4)")
    parser.add_argument("--rel", nargs="+", type=float, default=[1e-2, 1e-3, 1e-4], help="bounds as fractions of the value range")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--model", help="model file for a row of the preset learned")
    parser.add_argument("--skip", type=int, default=0, metavar="STEPS", help="leave out the first steps, such as a model was trained on")
    parser.add_argument("--picture", help="PNG to draw (at the bound in the middle)")
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many runs is the speed")
    args = parser.parse_args()

    if args.model and not os.path.exists(args.model):
        parser.error(f"there is no model {args.model!r}")
    names = {n: title for n, title in NAMES.items() if n != "learned" or args.model}
    field = load(args.data)
    if not 0 <= args.skip < len(field.values):
        parser.error(f"--skip {args.skip}: the field has {len(field.values)} steps")
    field = field.after(args.skip)
    if not field.value_range > 0:
        raise SystemExit("error: the field is constant or has no valid values: there is nothing to compare")
    try:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core for all, inherited by the children
    except AttributeError:
        pass
    shape = " x ".join(map(str, field.values.shape))
    unit = f" {field.units}" if field.units else ""
    print(f"{field.name}: {shape} {field.values.dtype}, {field.values.nbytes / 1e6:.1f} MB, value range {field.value_range:.4g}{unit}, "
          f"{100 * (1 - field.valid.mean()):.3g} % without data")
    print("chunks " + " x ".join(map(str, chunk_shape(field.values.shape, field.values.dtype.itemsize)))
          + "; one core; written by one process, read back by another")
    print()
    print(f"{'bound':>22}  {'compressor':26} {'ratio':>8} {'max error/bound':>16} {'PSNR dB':>8} {'write MB/s':>11} {'read MB/s':>10}")
    broken = False
    pictured = sorted(args.rel)[len(args.rel) // 2]
    with tempfile.TemporaryDirectory() as directory:
        for rel in args.rel:
            bound = rel * field.value_range
            for name, title in names.items():
                label = f"{rel:.0e} = {bound:.3g}{unit}"
                try:
                    row, decoded = measure(directory, field, name, bound, args)
                except RuntimeError as error:
                    print(f"{label:>22}  {title:26} failed: {error}", flush=True)
                    broken |= name in OWN
                    continue
                note = "" if row["error"] <= 1 else "  bound broken"
                if not row["special"] and name in OWN:
                    note += "  points without data changed"
                broken |= name in OWN and bool(note)
                print(f"{label:>22}  {title:26} {row['ratio']:8.2f} {row['error']:16.4f} {row['psnr']:8.1f} {row['write']:11.0f} "
                      f"{row['read']:10.0f}{note}", flush=True)
                if name == ("learned" if args.model else "augur") and rel == pictured and args.picture:
                    from picture import draw

                    draw(args.picture, field, decoded, bound, f"Augur {'learned' if args.model else args.preset}, {row['ratio']:.1f} times smaller")
            print()
    if not field.valid.all():
        print("Points without data: Augur got them as they are; the others got the mean value in their place.")
    if args.model:
        print(f"Augur learned: with {os.path.basename(args.model)} ({os.path.getsize(args.model) / 1e3:.1f} kB), which is in the file that it writes "
              "and is counted.")
    if args.picture and os.path.exists(args.picture):
        print(f"picture: {os.path.abspath(args.picture)}")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
