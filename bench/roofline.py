#!/usr/bin/env python3
"""Where the codec's time goes, beside what the core can do: the tables of docs/performance.md.

    roofline.py FILE[:/dataset] ... [--rel 1e-3] [--seconds 4] [--threads 1 2] [--document docs/performance.md]

Builds the example `roofline` of augur-core, measures the core with small loops, and samples the codec with `perf` (Linux; without
it the stages are left out). Cycles are nanoseconds times the clock as measured. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "examples", "demo"))

import contenders  # noqa: E402
import demo  # noqa: E402
import document  # noqa: E402
import numpy as np  # noqa: E402
from compare import describe, unique_name, whole_chunks  # noqa: E402
from fields import Field, load  # noqa: E402
from progress import Progress  # noqa: E402
from stages import STAGES, stage_of  # noqa: E402

PRESETS = ("balanced", "fast")
ACTIONS = ("encode", "decode")
KINDS = ("scalar", "avx2", "avx512")  # narrow to wide


def build(repository: str) -> str:
    """Compiles the example and returns its path."""
    command = ["cargo", "build", "--release", "--locked", "-p", "augur-core", "--example", "roofline", "--message-format", "json"]
    done = subprocess.run(command, cwd=repository, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit("error: cargo could not build the example roofline")
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in messages if m.get("executable"))


def answer(command: list[str], **environment: str) -> dict:
    """Runs the example and returns its lines of `name value`."""
    env = {**os.environ, **{k: v for k, v in environment.items() if v}}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env)
    out = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        try:
            out[name] = float(value)
        except ValueError:
            out[name] = value
    return out


def shares(command: list[str], directory: str) -> dict[str, float]:
    """The stages' shares of the time, sampled with perf; empty without it."""
    if not shutil.which("perf"):
        return {}
    data = os.path.join(directory, "perf.data")
    record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "1999", "-o", data]
    subprocess.run([*record, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    report = subprocess.run(["perf", "report", "-i", data, "--no-children", "--stdio", "-F", "overhead,symbol", "--percent-limit", "0"],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    out: dict[str, float] = {}
    for line in report.stdout.splitlines():
        found = re.match(r"\s*([\d.]+)%\s+\[(.)\]\s+(.*)", line)
        if found:
            stage = stage_of(found[3].strip(), found[2] == "k")
            out[stage] = out.get(stage, 0.0) + float(found[1]) / 100
    return out


def hdf5_time(field: Field, preset: str, bound: float, directory: str) -> dict[str, float]:
    """Nanoseconds per point of writing and reading the field through h5py, on one core."""
    job = dict(name="augur", preset=preset, bound=bound, fill=field.fill, file=os.path.join(directory, "field.h5"),
               chunks=demo.chunk_shape(field.values.shape, field.values.dtype.itemsize))
    out = {}
    for action, work in (("encode", lambda: contenders.write_h5(job, field.values)), ("decode", lambda: contenders.read_h5(job))):
        best = math.inf
        for _ in range(5):
            start = time.perf_counter()
            work()
            best = min(best, time.perf_counter() - start)
        out[action] = best * 1e9 / field.values.size
    return out


def print_peaks(peaks: dict) -> None:
    """What the core can do."""
    print(f"Clock: {peaks['clock_ghz']:.2f} GHz. Bytes and multiply-adds per cycle:\n")
    columns = ["l1_load", "l1_shifted_load", "l1_store", "l2_load", "l2_store", "l3_load", "l3_store", "memory_load", "memory_store",
               "multiply_32", "multiply_16"]
    names = {"multiply_32": "32-bit multiply-adds", "multiply_16": "16-bit", "l1_shifted_load": "L1 load, not aligned"}
    print("| | " + " | ".join(names.get(c, c.replace("_", " ").replace("l", "L", c[0] == "l")) for c in columns) + " |\n|---|" + "---:|" * len(columns))
    for kind in KINDS:
        if f"{kind}_l1_load" in peaks:
            print(f"| {kind} | " + " | ".join(f"{peaks[f'{kind}_{c}']:.1f}" for c in columns) + " |")
    print()


def roof(stage, work: dict, peaks: dict, kind: str) -> float:
    """Fewest cycles per point that the stage's bytes and multiply-adds allow, if none overlap with another stage's."""
    read, written, products = work["read"], work["written"], work["products"]
    level = stage.level
    bytes_roof = max(read / peaks[f"{kind}_{level}_load"], written / peaks[f"{kind}_{level.replace('_shifted', '')}_store"])
    return max(bytes_roof, products / peaks[f"{kind}_multiply_32"])


def column(measured: dict, share: dict, hdf5: float, action: str, peaks: dict, kind: str) -> dict[str, str]:
    """Cycles per point of each stage, with the fewest possible in brackets, and the sums."""
    clock = peaks["clock_ghz"]
    cycles = measured["ns_per_point"] * clock
    size = measured["bytes_per_value"]
    taps = re.search(r"([\d.]+) weights a point", measured["description"])
    facts = dict(taps=float(taps[1]) if taps else 0.0, size=size, coded=measured["bits_per_point"] / 8)
    cells = {}
    for stage in STAGES:
        reached = share.get(stage.name, 0.0)
        if reached < 0.003:
            continue
        work = stage.work(action, **facts)
        cells[stage.name] = f"{reached * cycles:.1f}" + (f" ({roof(stage, work, peaks, kind):.1f})" if work else "")
    cells["**all**"] = f"**{cycles:.1f}**"
    cells["through h5py: HDF5, file, allocation"] = f"{hdf5 * clock - cycles:+.1f}"
    cells["MB/s in memory"] = f"{1e3 * size / measured['ns_per_point']:.0f}"
    cells["MB/s through h5py"] = f"{1e3 * size / hdf5:.0f}"
    cells["weights a point"] = f"{facts['taps']:.1f}"
    cells["bits a point"] = f"{8 * facts['coded']:.2f}"
    return cells


def print_stages(title: str, columns: dict[str, dict[str, str]]) -> None:
    """One table of a field: stages by presets and actions."""
    rows = [s.name for s in STAGES if any(s.name in c for c in columns.values())]
    rows += [r for r in next(iter(columns.values())) if r not in rows]
    print(f"\n**{title}**: cycles a point, and (at least)\n\n| | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns))
    for row in dict.fromkeys(rows):
        print(f"| {row} | " + " | ".join(c.get(row, "") for c in columns.values()) + " |")


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="FILE or FILE:/dataset (HDF5, netCDF-3, netCDF-4), of float32 or float64")
    parser.add_argument("--rel", type=float, default=1e-3, help="the bound as a fraction of the value range")
    parser.add_argument("--seconds", type=float, default=4, help="seconds for each measurement")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="numbers of threads to compare")
    parser.add_argument("--document", help="puts the tables into this page, too")
    parser.add_argument("--repository", default=os.path.join(HERE, ".."), help="where augur's sources lie")
    args = parser.parse_args()
    if args.document:
        with io.StringIO() as text:
            with contextlib.redirect_stdout(text):
                report(args)
            print(text.getvalue())
            document.put(args.document, "roofline", text.getvalue())
    else:
        report(args)


def report(args: argparse.Namespace) -> None:
    """Measures and prints the tables."""
    fields, taken = [], set()
    for spec in args.data:
        field = whole_chunks(load(spec))
        fields.append((unique_name(spec, field, taken), field))
    os.environ["AUGUR_NUM_THREADS"] = "1"
    binary = build(args.repository)
    bar = Progress(1 + len(fields) * len(PRESETS) * len(ACTIONS) * (len(KINDS) + len(args.threads)))
    bar.step("what the core can do")
    peaks = answer([binary, "peaks"])
    bar.clear()
    print_peaks(peaks)
    known = [k for k in KINDS if f"{k}_l1_load" in peaks]
    kind = known[-1]
    # Label, threads, AUGUR_CPU.
    variants = [(k, 1, k.replace("scalar", "portable") if k != kind else "") for k in known]
    variants += [(kind, t, "") for t in args.threads if t > 1]
    speeds = []
    with tempfile.TemporaryDirectory() as directory:
        for name, field in fields:
            columns = {}
            raw = os.path.join(directory, "field.raw")
            values = field.values
            values.astype(values.dtype.newbyteorder("<")).tofile(raw)
            chunk = demo.chunk_shape(values.shape, values.dtype.itemsize)
            bound = args.rel * field.value_range
            for preset in PRESETS:
                hdf5 = hdf5_time(field, preset, bound, directory)
                for action in ACTIONS:
                    def command(threads: int, seconds: float) -> list[str]:
                        return [binary, "run", raw, np.dtype(values.dtype).name, "x".join(map(str, chunk)), repr(bound), preset,
                                action, str(threads), str(seconds)]

                    bar.step(f"{name}, {preset}, {action}, stages")
                    share = shares(command(1, args.seconds), directory)
                    row = []
                    for label, threads, cpu in variants:
                        bar.step(f"{name}, {preset}, {action}, {label}, {threads} thread(s)")
                        row.append(answer(command(threads, args.seconds / 2), AUGUR_CPU=cpu))
                    own = variants.index((kind, 1, ""))
                    bar.clear()
                    columns[f"{preset}, {action}"] = column(row[own], share, hdf5[action], action, peaks, kind)
                    speeds.append((name, preset, action, row))
            print_stages(describe(name, field), columns)
    bar.clear()
    print("\nMB/s of raw values in memory, by instruction set and threads:\n")
    heads = [f"{label.replace('scalar', 'portable')}, {threads} thread{'s' if threads > 1 else ''}" for label, threads, _ in variants]
    print("| field | preset | | " + " | ".join(heads) + " |\n|---|---|---|" + "---:|" * len(heads))
    for name, preset, action, row in speeds:
        print(f"| {name} | {preset} | {action} | " + " | ".join(f"{1e3 * r['bytes_per_value'] / r['ns_per_point']:.0f}" for r in row) + " |")


if __name__ == "__main__":
    main()
