#!/usr/bin/env python3
"""What models of several sizes give: the ratio of the preset learned over balanced against multiply-adds per point, on the
part of each field that training did not see, and what writing and reading cost. Prints tables and draws the curve.

    pareto.py FILE[:/dataset] ... [--first STEPS ...] [--parts forecaster corrector both] [--sizes small medium large] [--steps 800] [--out build/bench/pareto]
    pareto.py --draw build/bench/pareto/results.json [--docs docs]

For each field and size a forecaster, a corrector or both are trained with `augur train` on the first steps of the field, for a fixed number of
optimiser steps, so that sizes compare fairly; the others are then written and read on one core, with the demo's chunks and no chunk cache. Speeds are
those of processor time, which other work on the machine hardly changes. Models are kept in `--out`, as FIELD-SIZE.safetensors (a forecaster),
FIELD-corrector-SIZE.safetensors and FIELD-both-SIZE.safetensors, and trained only where they are not there yet; others that
are put beside them under such names are measured, too. In `--out`: `results.json`, `pareto.png`, `pareto.md`.
"""

from __future__ import annotations

import argparse
import glob
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "examples", "demo"))

import demo  # noqa: E402
import document  # noqa: E402
import h5py  # noqa: E402
import numpy as np  # noqa: E402
import pareto_results  # noqa: E402
import training  # noqa: E402
from compare import describe, unique_name, whole_chunks  # noqa: E402
from fields import Field, load  # noqa: E402
from progress import Progress  # noqa: E402

RELS = [1e-2, 1e-3, 1e-4]
BOUND = 1e-3  # that the models are trained for
SIZES = ["small", "medium", "large"]
PARTS = {"forecaster": "forecaster", "corrector": "corrector", "both": "forecaster,corrector"}  # as `augur train` calls them


def label(part: str, size: str) -> str:
    """What a model of this size and of these networks is called."""
    return size if part == "forecaster" else f"{part}-{size}"


def train(augur: str, model: str, field: Field, first: int, part: str, size: str, steps: int, seed: int) -> None:
    """Trains a model on the first steps where there is none yet, and notes what that took."""
    if os.path.exists(model):
        return
    start, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    training.on_first(augur, model, field, first, ["--parts", PARTS[part], "--relative", str(BOUND), "--size", size, "--steps", str(steps), "--max-time", "1e9", "--seed", str(seed)])
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - used
    with open(model + ".json", "w") as f:
        json.dump({"steps": steps, "seconds": time.monotonic() - start, "cpu": used}, f)


def cost(augur: str, model: str) -> dict:
    """What a model is, and what it takes: multiply-adds per point, weights, bytes as a file and in an HDF5 file, training."""
    import h5augur

    shown = json.loads(subprocess.run([augur, "models", "show", model, "--json"], check=True, capture_output=True, text=True).stdout)
    layers = [layer for graph in shown["graphs"] for layer in graph["layers"]]
    with h5py.File("model", "w", driver="core", backing_store=False) as f:
        stored = f[h5augur.embed_model(f, model)].id.get_storage_size()
    out = {"operations": sum(layer["multiply_adds_per_point"] for layer in layers),
           "weights": sum(math.prod(layer["weight"]) for layer in layers if layer["weight"]),
           "file_bytes": os.path.getsize(model), "stored_bytes": stored}
    if os.path.exists(model + ".json"):
        with open(model + ".json") as f:
            out["training"] = json.load(f)
    return out


def store(field: Field, bound: float, model: str | None, repeat: int) -> dict:
    """Bytes of the chunks, largest error over the bound, whether special values came back, and the best speeds of `repeat` runs."""
    import h5augur

    best = {"write": math.inf, "read": math.inf}
    chunks = demo.chunk_shape(field.values.shape, field.values.dtype.itemsize)
    for _ in range(repeat):
        with h5py.File("field", "w", driver="core", backing_store=False, rdcc_nbytes=0) as f:
            named = {"model": h5augur.embed_model(f, model)} if model else {}
            start = time.process_time()
            dataset = f.create_dataset("field", shape=field.values.shape, dtype=field.values.dtype, chunks=chunks, fillvalue=field.fill,
                                       **h5augur.Augur(absolute=bound, **named))
            dataset[...] = field.values
            f.flush()
            written = time.process_time()
            decoded = dataset[...]
            times = {"write": written - start, "read": time.process_time() - written}
            best = {k: min(best[k], times[k]) for k in best}
            size = dataset.id.get_storage_size()
    wide = np.longdouble if field.values.dtype.itemsize > 4 else np.float64
    error = np.abs(decoded.astype(wide) - field.values.astype(wide))[field.valid].max() / wide(bound)
    same = decoded[~field.valid].tobytes() == field.values[~field.valid].tobytes()
    return dict(bytes=size, error=float(error), special=same, **{k: field.values.nbytes / 1e6 / t for k, t in best.items()})


def measure(augur: str, out: str, name: str, field: Field, repeat: int, bar: Progress) -> list[dict]:
    """One row per model and bound, with `balanced` measured beside it."""
    models = sorted(glob.glob(os.path.join(glob.escape(out), f"{name}-*.safetensors")))
    costs = {model: cost(augur, model) for model in models}
    rows = []
    bar.total += len(RELS) * (len(models) + 1)
    raw = field.values.nbytes
    for rel in RELS:
        bar.print(f"{'model':24} {'bound':>8} {'balanced':>9} {'learned':>9} {'with model':>11} {'write MB/s':>16} {'read MB/s':>16}")
        bar.step(f"{name}, {rel:.0e}, balanced")
        plain = store(field, rel * field.value_range, None, repeat)
        for model in sorted(models, key=lambda m: costs[m]["operations"]):
            called = os.path.basename(model)[len(name) + 1 : -len(".safetensors")]
            bar.step(f"{name}, {rel:.0e}, {called}")
            own = store(field, rel * field.value_range, model, repeat)
            # Interleaved with the others, so that what slows the machine down slows all of them.
            again = store(field, rel * field.value_range, None, 1)
            plain.update({k: max(plain[k], again[k]) for k in ("write", "read")})
            row = dict(field=name, model=called, rel=rel, **costs[model], error=own["error"], special=own["special"], balanced=raw / plain["bytes"],
                       learned=raw / own["bytes"], counted=raw / (own["bytes"] + costs[model]["stored_bytes"]), write=own["write"], read=own["read"],
                       balanced_write=plain["write"], balanced_read=plain["read"])
            rows.append(row)
            bar.print(f"{called:24} {rel:8.0e} {row['balanced']:9.2f} {row['learned']:9.2f} {row['counted']:11.2f} "
                      f"{row['balanced_write']:7.0f} {row['write']:8.0f} {row['balanced_read']:7.0f} {row['read']:8.0f}"
                      + ("" if row["error"] <= 1 and row["special"] else "  bound broken"))
        bar.print()
    return rows


def run(args: argparse.Namespace) -> dict:
    """Trains and measures on all fields."""
    augur = training.command()
    fields, taken = [], set()
    firsts = args.first * len(args.data) if args.first and len(args.first) == 1 else args.first or [None] * len(args.data)
    if len(firsts) != len(args.data):
        raise SystemExit("error: --first takes one number, or one for each field")
    for spec, first in zip(args.data, firsts):
        field = load(spec)
        first = training.first_steps(field, first)
        fields.append((unique_name(spec, field, taken), field, first))
    chosen = [(part, size) for part in args.parts for size in args.sizes]
    bar = Progress(len(fields) * len(chosen))
    rows, titles = [], {}
    for name, field, first in fields:
        for part, size in chosen:
            model = os.path.join(args.out, f"{name}-{label(part, size)}.safetensors")
            bar.step(f"training {os.path.basename(model)}")
            if sys.stderr.isatty():
                print(file=sys.stderr)
            train(augur, model, field, first, part, size, args.steps, args.seed)
    try:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core for all, inherited by the children
    except AttributeError:
        pass
    for name, field, first in fields:
        rest = whole_chunks(field.after(first))
        titles[name] = describe(name, rest)
        bar.print(f"{titles[name]}; trained on the {first} steps before\n")
        rows += measure(augur, args.out, name, rest, args.repeat, bar)
    bar.clear()
    return {"titles": titles, "rels": RELS, "rows": rows}


def main() -> int:
    """Runs and returns the exit status: 1 where a bound was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", help="FILE or FILE:/dataset (HDF5, netCDF-3, netCDF-4)")
    parser.add_argument("--first", nargs="+", type=int, metavar="STEPS", help="steps to train on, for all fields or for each (half)")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), help="networks to train")
    parser.add_argument("--sizes", nargs="*", default=SIZES, help="sizes to train")
    parser.add_argument("--steps", type=int, default=800, help="optimiser steps of each forecaster; a corrector takes 8 for each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many runs is the speed")
    parser.add_argument("--out", default="build/bench/pareto", help="folder for models, results and picture")
    parser.add_argument("--docs", help="folder with models.md: puts table and picture there, too")
    parser.add_argument("--name", default="pareto", help="what table and picture are called there")
    parser.add_argument("--draw", metavar="RESULTS", help="draw what was measured before, measure nothing")
    args = parser.parse_args()
    if bool(args.data) == bool(args.draw):
        parser.error("give files to measure, or --draw results.json")
    os.makedirs(args.out, exist_ok=True)
    if args.draw:
        with open(args.draw) as f:
            results = json.load(f)
    else:
        results = run(args)
        with open(os.path.join(args.out, "results.json"), "w") as f:
            json.dump(results, f, indent=1)
    picture = os.path.abspath(os.path.join(args.out, "pareto.png"))
    pareto_results.draw(picture, results)
    table = pareto_results.table(results)
    with open(os.path.join(args.out, "pareto.md"), "w") as f:
        f.write(table)
    print(f"{table}\npicture: {picture}")
    if args.docs:
        shutil.copy(picture, os.path.join(args.docs, f"learned_{args.name}.png"))
        document.put(os.path.join(args.docs, "models.md"), args.name, table)
    return int(any(row["error"] > 1 or not row["special"] for row in results["rows"]))


if __name__ == "__main__":
    sys.exit(main())
