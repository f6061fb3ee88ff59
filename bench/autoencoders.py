#!/usr/bin/env python3
"""What autoencoders give: rate-distortion curves of the presets ae-sz and ae-sz+ beside balanced, learned, SZ2, SZ3 and ZFP, the
share of blocks that the network wins against the bound, and the ratio against the number of latents.

    autoencoders.py FILE[:/dataset] ... [--first STEPS ...] [--rel 3e-2 1e-2 ...] [--latents 4 8 16 32] [--out build/bench/autoencoders]
    autoencoders.py --draw build/bench/autoencoders/results.json [--docs docs]

Models are trained with `augur train` on the first half of each field, in whole chunks, unless they lie in `--out` as
FIELD-swae-LATENTS.safetensors and FIELD-learned.safetensors; what follows `--` goes to the training of autoencoders (`-- --block
32x32`). Measured is the rest, on one core, with the demo's chunks. Ratios are those of the chunks; with the weights in the file counted they stand in the table.
Figures 10 and table III of AE-SZ's paper (Liu et al., CLUSTER 2021) show the same of the original. In `--out`: `results.json`,
`rate_distortion_FIELD.png`, `shares.png`, `latents.png`, `autoencoders.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "examples", "demo"))

import demo  # noqa: E402
import document  # noqa: E402
import matplotlib  # noqa: E402

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import plots  # noqa: E402
from compare import describe, unique_name, whole_chunks  # noqa: E402
from contestants import ALL, Contestant  # noqa: E402
from fields import Field, load  # noqa: E402
from progress import Progress  # noqa: E402
import training  # noqa: E402

RELS = [1e-1, 3e-2, 2e-2, 1e-2, 5e-3, 3e-3, 1e-3, 1e-4]
LATENTS = [4, 8, 16, 32]
MODES = ["mean", "Lorenzo", "linear regression", "network"]
COLOURS = ["#999999", "#56B4E9", "#E69F00", "#CC3311"]

OWN = [
    Contestant("Augur ae-sz", "learned", "#CC3311", "o", "h5augur", preset="ae-sz"),
    Contestant("Augur ae-sz+", "learned", "#EE7733", "s", "h5augur", preset="ae-sz+"),
    Contestant("Augur ae-sz, no model", "augur", "#BBBBBB", "x", "h5augur", preset="ae-sz"),
    Contestant("Augur learned", "learned", "#004488", "*", "h5augur", preset="learned"),
]
OTHERS = [c for c in ALL if c.label in ("Augur balanced", "SZ3 3.4 (pysz)", "SZ3 (hdf5plugin)", "SZ2 (hdf5plugin)", "ZFP (hdf5plugin)")]


def train(augur: str, model: str, field: Field, first: int, options: list[str]) -> None:
    """Trains a model on the first steps where there is none yet."""
    if os.path.exists(model):
        return
    training.on_first(augur, model, field, first, ["--relative", "1e-2", *options])


def shares(augur: str, file: str) -> dict[str, float]:
    """The share of blocks that each way of prediction has, of all chunks of the file that demo.measure left."""
    shown = json.loads(subprocess.run([augur, "inspect", "--chunks", "--json", file], check=True, capture_output=True, text=True).stdout)
    out, count = dict.fromkeys(MODES, 0.0), 0
    field = next(d for d in shown["datasets"] if d["path"] == "/field")  # the model in the file is a dataset, too
    for chunk in field["chunks"]:
        for share, mode in re.findall(r"([\d.]+) % by ([A-Za-z ]+)", chunk.get("description", "")):
            out[mode] += float(share)
        count += 1
    return {mode: share / max(count, 1) for mode, share in out.items()}


def measure_one(directory: str, field: Field, c: Contestant, rel: float, model: str | None, repeat: int) -> dict:
    """A row of one compressor at one bound; its ratio does not count weights, `counted` does."""
    args = argparse.Namespace(preset=c.preset, model=model, repeat=repeat)
    row, _ = demo.measure(directory, field, c.name, rel * field.value_range, args)
    raw = field.values.nbytes
    counted = row["ratio"]
    row["ratio"] = raw / (raw / counted - row["weights"])
    return dict(row, label=c.label, rel=rel, counted=counted, psnr=min(row["psnr"], 999.0),
                bits=8 * field.values.dtype.itemsize / row["ratio"])


def measure(augur: str, name: str, field: Field, models: dict[str, str], args: argparse.Namespace, bar: Progress) -> list[dict]:
    """All rows of a field."""
    rows = []
    main = models.get(f"swae-{args.main}")
    with tempfile.TemporaryDirectory() as directory:
        for rel in args.rel:
            bar.print(f"{'compressor':24} {'rel. bound':>10} {'ratio':>9} {'counted':>9} {'max error/bound':>16} {'PSNR [dB]':>10} {'write':>7} {'read':>7} MB/s")
            for c in OWN + OTHERS:
                model = None if c.name != "learned" else models.get("learned") if c.preset == "learned" else main
                if c.name == "learned" and not model:
                    continue
                bar.step(f"{name}, {rel:.0e}, {c.label}")
                try:
                    row = measure_one(directory, field, c, rel, model, args.repeat)
                except RuntimeError as error:
                    bar.print(f"{c.label:24} {rel:10.0e} failed: {error}")
                    continue
                if c.preset == "ae-sz" and c.name == "learned":
                    row["shares"] = shares(augur, os.path.join(directory, "compressed"))
                rows.append(dict(row, field=name))
                bar.print(f"{c.label:24} {rel:10.0e} {row['ratio']:9.2f} {row['counted']:9.2f} {row['error']:16.4f} {row['psnr']:10.1f} "
                          f"{row['write']:7.0f} {row['read']:7.0f}" + ("" if row["error"] <= 1 else "  bound broken"))
            for label, model in models.items():
                if not label.startswith("swae-") or model == main:
                    continue
                for c in OWN[:2]:
                    bar.step(f"{name}, {rel:.0e}, {label}")
                    rows.append(dict(measure_one(directory, field, c, rel, model, args.repeat), field=name, model=label))
            bar.print()
    for row in rows:
        row.setdefault("model", f"swae-{args.main}" if row["name"] == "learned" and row["label"] != "Augur learned" else "")
    return rows


def run(args: argparse.Namespace) -> dict:
    """Trains and measures on all fields."""
    augur = training.command()
    taken: set[str] = set()
    firsts = args.first * len(args.data) if args.first and len(args.first) == 1 else args.first or [None] * len(args.data)
    if len(firsts) != len(args.data):
        raise SystemExit("error: --first takes one number, or one for each field")
    fields = []
    for spec, first in zip(args.data, firsts):
        field = load(spec)
        first = training.first_steps(field, first) if len(field.values) > 1 else 0
        fields.append((unique_name(spec, field, taken), field, first))
    bar = Progress(len(fields) * (len(args.latents) + len(args.rel) * (len(OWN) + len(OTHERS) + 2 * len(args.latents) - 2)))
    models: dict[str, dict[str, str]] = {}
    for name, field, first in fields:
        models[name] = {}
        for latents in args.latents:
            bar.step(f"training {name}, {latents} latents")
            models[name][f"swae-{latents}"] = model = os.path.join(args.out, f"{name}-swae-{latents}.safetensors")
            train(augur, model, field, first or len(field.values),
                  ["--architecture", "swae", "--latent", str(latents), "--max-time", str(args.max_time), *args.options])
        learned = os.path.join(args.out, f"{name}-learned.safetensors")
        if args.learned and first:
            train(augur, learned, field, first, ["--max-time", str(args.max_time)])
        if os.path.exists(learned):
            models[name]["learned"] = learned
    try:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core for all, inherited by the children
    except AttributeError:
        pass
    rows, titles = [], []
    for name, field, first in fields:
        rest = whole_chunks(field.after(first))
        titles.append(describe(name, rest))
        bar.print(f"{titles[-1]}; trained on {f'the {first} steps before' if first else 'itself'}\n")
        rows += measure(augur, name, rest, models[name], args, bar)
    bar.clear()
    return {"fields": [f[0] for f in fields], "titles": titles, "rels": args.rel, "main": f"swae-{args.main}", "rows": rows}


def rate_distortion(path: str, results: dict, field: str, title: str) -> None:
    """Bits per value against PSNR, and against the bound."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5.8), layout="constrained")
    main = [r for r in results["rows"] if r["field"] == field and r["model"] in ("", results["main"])]
    for c in OWN + OTHERS:
        own = sorted((r for r in main if r["label"] == c.label), key=lambda r: -r["rel"])
        if own:
            drawn = dataclasses.replace(c, name="augur" if c in OWN[:2] else c.name)
            broken = [r["error"] > 1 for r in own]
            plots.curve(left, drawn, [r["bits"] for r in own], [r["psnr"] for r in own], broken)
            plots.curve(right, drawn, [r["rel"] for r in own], [r["bits"] for r in own], broken)
    left.set(xscale="log", xlabel="bits per value", ylabel="PSNR [dB]", title="error that came out (up and left is better)")
    right.set(xscale="log", yscale="log", xlabel="bound as a fraction of the value range", ylabel="bits per value",
              title="bound that was asked for (down is better)")
    right.invert_xaxis()
    plots.plain_log(left.xaxis)
    plots.plain_log(right.yaxis)
    for panel in (left, right):
        panel.grid(alpha=0.3, which="both", linewidth=0.5)
    plots.finish(figure, left, path, f"{title}; weights not counted")


def panels(count: int):
    """A figure with a panel for each field."""
    columns = min(count, 3)
    figure, all_panels = plt.subplots(-(-count // columns), columns, figsize=(4.6 * columns, 3.6 * -(-count // columns)), layout="constrained", squeeze=False)
    for panel in list(all_panels.flat)[count:]:
        panel.axis("off")
    return figure, list(all_panels.flat)


def draw_shares(path: str, results: dict) -> None:
    """The share of blocks that each prediction wins, against the bound."""
    figure, drawn = panels(len(results["fields"]))
    for panel, field in zip(drawn, results["fields"]):
        rows = sorted((r for r in results["rows"] if r["field"] == field and r["model"] == results["main"] and "shares" in r), key=lambda r: -r["rel"])
        panel.stackplot([r["rel"] for r in rows], *[[r["shares"][m] for r in rows] for m in MODES], labels=MODES, colors=COLOURS)
        panel.set(xscale="log", ylim=(0, 100), title=field, xlabel="bound as a fraction of the value range", ylabel="blocks [%]")
        panel.invert_xaxis()
    figure.legend(*drawn[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.suptitle("ae-sz: how blocks are predicted")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def draw_latents(path: str, results: dict) -> None:
    """Ratio against the number of latents, at some bounds, of the fields with models of several numbers."""
    own = [r for r in results["rows"] if r["label"] == OWN[0].label]
    fields = [f for f in results["fields"] if len({r["model"] for r in own if r["field"] == f}) > 1]
    if not fields:
        return
    figure, drawn = panels(len(fields))
    for panel, field in zip(drawn, fields):
        for rel, colour in zip([r for r in results["rels"] if r >= 1e-3], ["#000000", "#0072B2", "#009E73", "#E69F00", "#CC3311", "#CC79A7", "#56B4E9"]):
            points = sorted((int(r["model"].split("-")[1]), r["ratio"]) for r in own if r["field"] == field and r["rel"] == rel)
            panel.plot([p[0] for p in points], [p[1] for p in points], marker="o", color=colour, label=f"{rel:g}")
        panel.set(xscale="log", yscale="log", title=field, xlabel="latents of a block", ylabel="ratio of ae-sz")
        plots.plain_log(panel.xaxis)
        plots.plain_log(panel.yaxis)
        panel.grid(alpha=0.3, which="both", linewidth=0.5)
    figure.legend(*drawn[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, title="bound")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def table(results: dict) -> str:
    """Ratios of all at each bound, with the share of the network's blocks, as Markdown."""
    labels = [c.label for c in OWN + OTHERS if any(r["label"] == c.label for r in results["rows"])]
    out = []
    for field, title in zip(results["fields"], results["titles"]):
        rows = {(r["label"], r["rel"]): r for r in results["rows"] if r["field"] == field and r["model"] in ("", results["main"])}
        out += [f"{title}:", "", "| bound | blocks by the network | " + " | ".join(label.removeprefix("Augur ") for label in labels) + " |",
                "|---|---:|" + "---:|" * len(labels)]
        for rel in results["rels"]:
            def cell(label: str) -> str:
                row = rows.get((label, rel))
                if row is None:
                    return ""
                counted = f" ({row['counted']:.1f})" if row["weights"] else ""
                return f"{row['ratio']:.1f}{counted}" + ("" if row["error"] <= 1 else " *")
            share = rows.get((OWN[0].label, rel), {}).get("shares", {}).get("network")
            out.append(f"| {rel:g} | {'' if share is None else f'{share:.0f} %'} | " + " | ".join(cell(label) for label in labels) + " |")
        out.append("")
    if any(r["error"] > 1 for r in results["rows"]):
        out.append("\\* the bound was broken.")
    return "\n".join(out)


def main() -> int:
    """Runs and returns the exit status: 1 where Augur broke a bound."""
    argv, options = sys.argv[1:], []
    if "--" in argv:
        at = argv.index("--")
        argv, options = argv[:at], argv[at + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", help="FILE or FILE:/dataset (HDF5, netCDF-3, netCDF-4)")
    parser.add_argument("--first", nargs="+", type=int, metavar="STEPS", help="steps to train on, for all fields or for each (half)")
    parser.add_argument("--rel", nargs="+", type=float, default=RELS, help="bounds as fractions of the value range")
    parser.add_argument("--latents", nargs="+", type=int, default=LATENTS, help="numbers of latents to train models with")
    parser.add_argument("--main", type=int, help="the one that is compared with others (16, or the first)")
    parser.add_argument("--learned", action="store_true", help="train a forecaster for the preset learned, too")
    parser.add_argument("--max-time", type=float, default=240, help="seconds of each training")
    parser.add_argument("--repeat", type=int, default=1, help="the best of so many runs is the speed")
    parser.add_argument("--out", default="build/bench/autoencoders", help="folder for models, results and pictures")
    parser.add_argument("--docs", help="folder with models.md: puts the table there, too")
    parser.add_argument("--draw", metavar="RESULTS", help="draw what was measured before, measure nothing")
    args = parser.parse_args(argv)
    args.options = options
    args.main = args.main or (16 if 16 in args.latents else args.latents[0])
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
    for field, title in zip(results["fields"], results["titles"]):
        rate_distortion(os.path.join(args.out, f"rate_distortion_{field}.png"), results, field, title)
    draw_shares(os.path.join(args.out, "shares.png"), results)
    draw_latents(os.path.join(args.out, "latents.png"), results)
    text = table(results)
    with open(os.path.join(args.out, "autoencoders.md"), "w") as f:
        f.write(text)
    print(f"{text}\npictures and tables: {os.path.abspath(args.out)}")
    if args.docs:
        document.put(os.path.join(args.docs, "models.md"), "autoencoders", text)
    own = [r for r in results["rows"] if r["label"].startswith("Augur")]
    return int(any(r["error"] > 1 or not r["special"] for r in own) or not all(math.isfinite(r["ratio"]) for r in own))


if __name__ == "__main__":
    sys.exit(main())
