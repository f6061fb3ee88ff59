#!/usr/bin/env python3
"""Augur's presets beside SZ3, SZ2, ZFP, SPERR and lossless filters on one or more fields over a row of error bounds, with the
demo's chunks and processes: prints tables and draws rate-distortion curves and the trade-off between ratio and speed.

    compare.py FILE[:/dataset] ... [--rel 1e-2 1e-3 ...] [--out build/bench] [--repeat 3] [--quick]
    compare.py --draw build/bench/results.json [--out build/bench] [--docs docs]

In `--out`: `results.json`, `trade_off.png`, `rate_distortion.png` and, of several fields, `rate_distortion_<field>.png`, `table.md`.
Of each field whole chunks are taken. Speeds are those of one core, chunk cache off.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "examples", "demo"))

import contestants  # noqa: E402
import demo  # noqa: E402
import document  # noqa: E402
import plots  # noqa: E402
from fields import Field, load  # noqa: E402
from progress import Progress  # noqa: E402
from summary import Summary, table  # noqa: E402

RELS = [3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5]
QUICK = [1e-2, 1e-3, 1e-4]
QUICK_BYTES = 16 << 20


def whole_chunks(field: Field) -> Field:
    """The field without the time steps that would leave its last chunk half empty."""
    steps = demo.chunk_shape(field.values.shape, field.values.dtype.itemsize)[0]
    keep = max(len(field.values) // steps, 1) * steps
    return dataclasses.replace(field, values=field.values[:keep], valid=field.valid[:keep])


def unique_name(spec: str, field: Field, taken: set[str]) -> str:
    """A short name for the field: its file's, or with the dataset's where a file gives several."""
    name = os.path.splitext(os.path.basename(spec.rpartition(":")[0] if not os.path.exists(spec) else spec))[0]
    if not os.path.exists(spec) or name in taken:
        name += "_" + re.sub(r"\W+", "_", spec.rpartition(":")[2] if not os.path.exists(spec) else field.name)
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def describe(name: str, field: Field) -> str:
    """The field's shape, type and chunks in one line."""
    shape = " x ".join(map(str, field.values.shape))
    chunk = " x ".join(map(str, demo.chunk_shape(field.values.shape, field.values.dtype.itemsize)))
    return f"{name}: {shape} {field.values.dtype}, chunks {chunk}"


def measure(directory: str, name: str, field: Field, rels: list[float], repeat: int, bar: Progress) -> list[dict]:
    """One row per compressor and bound; those that fail are named. Lossless ones run once and stand at every bound."""
    bits = 8 * field.values.dtype.itemsize
    exact: dict[str, dict] = {}
    rows = []
    for rel in rels:
        bar.print(f"{'compressor':20} {'rel. bound':>10} {'ratio':>8} {'bits/value':>10} {'max error/bound':>16} "
                  f"{'PSNR [dB]':>10} {'write MB/s':>11} {'read MB/s':>10}")
        for c in CONTESTANTS:
            bar.step(f"{name}, {rel:.0e}, {c.label}")
            row = exact.get(c.label)
            if row is None:
                try:
                    args = argparse.Namespace(preset=c.preset, model=None, repeat=repeat)
                    row, _ = demo.measure(directory, field, c.name, rel * field.value_range, args)
                except RuntimeError as error:
                    bar.print(f"{c.label:20} {rel:10.0e} failed: {error}")
                    continue
                row["psnr"] = min(row["psnr"], 999.0)  # JSON has no infinity
                if c.lossless:
                    exact[c.label] = row
            row = dict(row, field=name, label=c.label, rel=rel, bits=bits / row["ratio"])
            rows.append(row)
            note = "" if row["error"] <= 1 else "  bound broken"
            bar.print(f"{c.label:20} {rel:10.0e} {row['ratio']:8.2f} {row['bits']:10.3f} {row['error']:16.4f} "
                      f"{row['psnr']:10.1f} {row['write']:11.0f} {row['read']:10.0f}{note}")
        bar.print()
    return rows


def run(args: argparse.Namespace) -> dict:
    """Measures all fields."""
    fields, taken = [], set()
    for spec in args.data:
        field = whole_chunks(load(spec, QUICK_BYTES) if args.quick else load(spec))
        if not field.value_range > 0:
            raise SystemExit(f"error: {spec} is constant or has no valid values: there is nothing to compare")
        fields.append((unique_name(spec, field, taken), field))
    try:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core for all, inherited by the children
    except AttributeError:
        pass
    rels = sorted(args.rel or (QUICK if args.quick else RELS), reverse=True)
    repeat = args.repeat or (1 if args.quick else 3)
    bar = Progress(len(fields) * len(rels) * len(CONTESTANTS))
    rows, titles = [], []
    print("One core; written by one process, read back by another\n")
    with tempfile.TemporaryDirectory() as directory:
        for name, field in fields:
            titles.append(describe(name, field))
            bar.print(titles[-1] + "\n")
            rows += measure(directory, name, field, rels, repeat, bar)
    bar.clear()
    return {"fields": [name for name, _ in fields], "titles": titles, "rels": rels, "rows": rows}


def draw(results: dict, out: str, docs: str | None) -> None:
    """Draws all pictures and writes the table behind the trade-off; both of them into the documentation where that is asked."""
    summary = Summary(results)
    many = len(results["fields"]) > 1
    title = f"means over {len(results['fields'])} fields" if many else results["titles"][0]
    drawn = [(plots.trade_off, "trade_off.png", summary, title), (plots.rate_distortion, "rate_distortion.png", summary, title)]
    if many:
        for field, text in zip(results["fields"], results["titles"]):
            one = Summary({**results, "fields": [field], "rows": [r for r in results["rows"] if r["field"] == field]})
            drawn.append((plots.rate_distortion, f"rate_distortion_{field}.png", one, text))
    for draw_one, name, data, text in drawn:
        path = os.path.abspath(os.path.join(out, name))
        draw_one(path, data, text)
        print(f"picture: {path}")
    path = os.path.abspath(os.path.join(out, "table.md"))
    with open(path, "w") as f:
        f.write(table(summary))
    print(f"table:   {path}\n\n{table(summary)}")
    if docs:
        shutil.copy(os.path.join(out, "trade_off.png"), os.path.join(docs, "trade_off.png"))
        document.put(os.path.join(docs, "presets.md"), "table", table(summary))


def main() -> int:
    """Runs the comparison and returns the exit status: 1 if Augur failed or broke its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", help="FILE or FILE:/dataset (HDF5, netCDF-3, netCDF-4)")
    parser.add_argument("--rel", nargs="+", type=float, help="bounds as fractions of the value range")
    parser.add_argument("--out", default="build/bench", help="folder for results and pictures")
    parser.add_argument("--repeat", type=int, help="the best of so many runs is the speed (3, with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="three bounds, one run each, at most 16 MiB of each field")
    parser.add_argument("--docs", help="folder with presets.md: puts table and trade-off there, too")
    parser.add_argument("--draw", metavar="RESULTS", help="draw what was measured before, measure nothing")
    args = parser.parse_args()
    if bool(args.data) == bool(args.draw):
        parser.error("give files to measure, or --draw results.json")
    os.makedirs(args.out, exist_ok=True)
    if args.draw:
        with open(args.draw) as f:
            draw(json.load(f), args.out, args.docs)
        return 0
    global CONTESTANTS
    CONTESTANTS = contestants.present()
    results = run(args)
    with open(os.path.join(args.out, "results.json"), "w") as f:
        json.dump(results, f, indent=1)
    draw(results, args.out, args.docs)
    own = [c for c in contestants.ALL if c.name == "augur"]
    rows = [r for r in results["rows"] if r["name"] == "augur"]
    complete = len(rows) == len(results["fields"]) * len(results["rels"]) * len(own)
    return int(not complete or any(r["error"] > 1 or not r["special"] for r in rows))


CONTESTANTS: list[contestants.Contestant] = []

if __name__ == "__main__":
    sys.exit(main())
