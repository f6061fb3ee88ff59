#!/usr/bin/env python3
"""Augur beside SZ3 and ZFP on one field over a row of error bounds, with the demo's chunks and processes: prints a table
and draws rate-distortion curves and ratio against speed.

    compare.py FILE[:/dataset] [--rel 1e-2 1e-3 ...] [--out build/bench] [--repeat 3]

In `--out`: `results.json`, `rate_distortion.png`, `ratio_speed.png`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples", "demo"))

import demo  # noqa: E402
import matplotlib  # noqa: E402
from fields import load  # noqa: E402

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import matplotlib.ticker  # noqa: E402

# Label, the demo's name of the compressor, preset, colour and marker.
CONTENDERS = [
    ("Augur balanced", "augur", "balanced", "#0072B2", "o"),
    ("Augur fast", "augur", "fast", "#56B4E9", "s"),
    ("SZ3 3.4 (pysz)", "sz34", "balanced", "#D55E00", "^"),
    ("SZ3 (hdf5plugin)", "sz3", "balanced", "#E69F00", "v"),
    ("ZFP (hdf5plugin)", "zfp", "balanced", "#009E73", "D"),
]
PSNR_LABEL = "PSNR [dB]"


def measure_all(field, rels: list[float], repeat: int) -> list[dict]:
    """One row per compressor and bound; those that fail are left out and named."""
    bits = 8 * field.values.dtype.itemsize
    rows = []
    print(f"{'compressor':20} {'rel. bound':>10} {'ratio':>8} {'bits/value':>10} {'max error/bound':>16} {PSNR_LABEL:>10} "
          f"{'write MB/s':>11} {'read MB/s':>10}")
    with tempfile.TemporaryDirectory() as directory:
        for rel in sorted(rels, reverse=True):
            for label, name, preset, _, _ in CONTENDERS:
                args = argparse.Namespace(preset=preset, repeat=repeat)
                try:
                    row, _ = demo.measure(directory, field, name, rel * field.value_range, args)
                except RuntimeError as error:
                    print(f"{label:20} {rel:10.0e} failed: {error}", flush=True)
                    continue
                row.update(label=label, rel=rel, bits=bits / row["ratio"])
                rows.append(row)
                note = "" if row["error"] <= 1 else "  bound broken"
                print(f"{label:20} {rel:10.0e} {row['ratio']:8.2f} {row['bits']:10.3f} {row['error']:16.4f} {row['psnr']:10.1f} "
                      f"{row['write']:11.0f} {row['read']:10.0f}{note}", flush=True)
            print()
    return rows


def curves(rows: list[dict], panel, x: str, y: str) -> None:
    """One line per compressor; points that broke the bound are hollow."""
    for label, _, _, colour, marker in CONTENDERS:
        own = [r for r in rows if r["label"] == label]
        if not own:
            continue
        panel.plot([r[x] for r in own], [r[y] for r in own], color=colour, linewidth=1.4, zorder=2)
        panel.plot([], [], color=colour, linewidth=1.4, marker=marker, label=label)  # for the legend
        for kept in (True, False):
            part = [r for r in own if (r["error"] <= 1) == kept]
            panel.scatter([r[x] for r in part], [r[y] for r in part], color=colour, marker=marker, s=36, zorder=3,
                          facecolors=colour if kept else "white")
    panel.grid(alpha=0.3)


def finish(figure, panels, path: str, title: str) -> None:
    """Plain numbers at the logarithmic axes, one legend below all panels."""
    for panel in panels:
        for axis in (panel.xaxis, panel.yaxis):
            if axis.get_scale() == "log":
                axis.set_major_formatter("{x:g}")
                axis.set_minor_formatter(matplotlib.ticker.NullFormatter())
                low, high = axis.get_view_interval()
                if max(low, high) < 100 * min(low, high):
                    axis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(CONTENDERS))
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_rate_distortion(path: str, rows: list[dict], title: str) -> None:
    """Bits per value against PSNR (more is better) and against the bound that was asked for."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    curves(rows, left, "bits", "psnr")
    left.set(xscale="log", xlabel="bits per value", ylabel=PSNR_LABEL, title="error that came out (up and left is better)")
    curves(rows, right, "rel", "bits")
    right.set(xscale="log", yscale="log", xlabel="bound as a fraction of the value range", ylabel="bits per value",
              title="bound that was asked for (lower is better)")
    right.invert_xaxis()
    hollow = "; hollow: the bound was broken" if any(r["error"] > 1 for r in rows) else ""
    finish(figure, (left, right), path, title + hollow)


def draw_ratio_speed(path: str, rows: list[dict], title: str) -> None:
    """Compression ratio against write and read speed; each line runs from the widest bound to the finest."""
    figure, panels = plt.subplots(1, 2, figsize=(12, 5), layout="constrained", sharey=True)
    for panel, speed in zip(panels, ("write", "read")):
        curves(rows, panel, speed, "ratio")
        panel.set(xscale="log", yscale="log", xlabel=f"{speed} speed [MB/s], one core", title=f"{speed} (up and right is better)")
        for label, *_ in CONTENDERS:
            own = [r for r in rows if r["label"] == label]
            for r in own[:1] + own[-1:]:
                panel.annotate(f"{r['rel']:.0e}", (r[speed], r["ratio"]), xytext=(5, 4), textcoords="offset points", fontsize=7)
    panels[0].set_ylabel("compression ratio")
    finish(figure, panels, path, title)


def main() -> int:
    """Runs the comparison and returns the exit status: 1 if Augur failed or broke its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="FILE or FILE:/dataset (HDF5, netCDF-3, netCDF-4)")
    parser.add_argument("--rel", nargs="+", type=float, default=[3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5],
                        help="bounds as fractions of the value range")
    parser.add_argument("--out", default="build/bench", help="folder for results and pictures")
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many runs is the speed")
    args = parser.parse_args()

    field = load(args.data)
    if not field.value_range > 0:
        raise SystemExit("error: the field is constant or has no valid values: there is nothing to compare")
    try:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core for all, inherited by the children
    except AttributeError:
        pass
    shape = " x ".join(map(str, field.values.shape))
    chunk = " x ".join(map(str, demo.chunk_shape(field.values.shape, field.values.dtype.itemsize)))
    title = f"{field.name}: {shape} {field.values.dtype}, chunks {chunk}"
    print(title + "; one core; written by one process, read back by another\n")
    rows = measure_all(field, args.rel, args.repeat)
    os.makedirs(args.out, exist_ok=True)
    with open(os.path.join(args.out, "results.json"), "w") as f:
        json.dump({"field": title, "rows": rows}, f, indent=1)
    for name, draw in (("rate_distortion.png", draw_rate_distortion), ("ratio_speed.png", draw_ratio_speed)):
        path = os.path.abspath(os.path.join(args.out, name))
        draw(path, rows, title)
        print(f"picture: {path}")
    augur = [r for r in rows if r["name"] == "augur"]
    complete = len(augur) == len(args.rel) * sum(name == "augur" for _, name, *_ in CONTENDERS)
    return int(not complete or any(r["error"] > 1 or not r["special"] for r in augur))


if __name__ == "__main__":
    sys.exit(main())
