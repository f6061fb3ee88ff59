#!/usr/bin/env python3
"""What a recurrent network (PredNet, ConvLSTM) gives over the frame before alone, in TEZip's method and in Augur's, and how fast
that is beside Python:

    tezip.py table MODEL=FILE[:/dataset] ... [--rel 1e-1 1e-2 ...] [--skip STEPS] [--out build/bench/tezip.md]
    tezip.py speed MODEL FILE[:/dataset] [--rel 1e-1] [--python PYTHON]
    tezip.py picture MODEL FILE[:/dataset] --out PNG [--rel 1e-1] [--skip STEPS]

`table` measures, for each set and bound, the preset `tezip` with the model and without (the frame before alone), `tezip+` and
`balanced`, written and read through h5py on one core; weights are not counted, but their size is stated. `speed` times a Python
rendition of TEZip's coding loop (Roy et al., CCGrid 2021, and its code: the intersection of error bounds point by point, differences of neighbours,
replacement by rank, zstd 9) and, where PYTHON has PyTorch, the same network in its eager mode, beside Augur on the same frames.
`picture` draws a frame as it was, as the network predicted it, as it was decoded, and the error.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "examples", "demo"))

import demo  # noqa: E402
from fields import Field, load  # noqa: E402
from progress import Progress  # noqa: E402

RELS = [1e-1, 3e-2, 1e-2, 1e-3]
ROWS = [("tezip", True), ("tezip", False), ("tezip+", True), ("balanced", False)]


def measured(field: Field, preset: str, model: str | None, rel: float, repeat: int = 3) -> tuple[dict, np.ndarray]:
    """One preset at one bound; the ratio leaves the weights out."""
    bound = rel * field.value_range
    with tempfile.TemporaryDirectory() as directory:
        args = argparse.Namespace(preset=preset, model=model, repeat=repeat)
        row, decoded = demo.measure(directory, field, "learned" if model else "augur", bound, args)
    if row["error"] > 1 or not row["special"]:
        raise SystemExit(f"error: {preset} broke its bound: {row}")
    if model:
        row["ratio"] = field.values.nbytes / (field.values.nbytes / row["ratio"] - bytes_in_file(model))
    return row, decoded


def bytes_in_file(model: str) -> int:
    """What a model takes in an HDF5 file, where it is deflated."""
    import h5augur
    import h5py

    with h5py.File("weights", "w", driver="core", backing_store=False) as f:
        return f[h5augur.embed_model(f, model)].id.get_storage_size()


def table(args: argparse.Namespace) -> None:
    """Ratios and speeds of each set and bound."""
    lines = ["| set | bound | " + " | ".join(f"`{p}`{'' if m or p == 'balanced' else ', frame before'}" for p, m in ROWS)
             + " | network / frame before | `tezip+` / `balanced` | write, read MB/s (`tezip`, `tezip+`) |",
             "|---|---|" + "---:|" * (len(ROWS) + 3)]
    bar = Progress(len(args.sets) * len(args.rel) * len(ROWS))
    for pair in args.sets:
        model, _, spec = pair.partition("=")
        field = load(spec).after(args.skip)
        name = os.path.splitext(os.path.basename(spec if os.path.exists(spec) else spec.rpartition(":")[0]))[0]
        bar.print(f"{name}: {' x '.join(map(str, field.values.shape))} {field.values.dtype}, model {os.path.basename(model)} "
                  f"({bytes_in_file(model) / 1e3:.1f} kB in the file, not counted)")
        for rel in args.rel:
            found = []
            for preset, uses in ROWS:
                bar.step(f"{name}, {rel:g}, {preset}")
                found.append(measured(field, preset, model if uses else None, rel)[0])
            ratios = [row["ratio"] for row in found]
            speeds = ", ".join(f"{found[k]['write']:.1f} / {found[k]['read']:.1f}" for k in (0, 2))
            lines.append(f"| {name} | {rel:g} | " + " | ".join(f"{r:.2f}" for r in ratios)
                         + f" | {ratios[0] / ratios[1]:.3f} | {ratios[2] / ratios[3]:.3f} | {speeds} |")
            bar.print(lines[-1])
    bar.clear()
    if args.out:
        with open(args.out, "w") as f:
            f.write("\n".join(lines) + "\n")


def intersect(differences: np.ndarray, bound: float) -> np.ndarray:
    """TEZip's error bounding: a run goes on while the intervals of all its points have a number in common."""
    d = differences.astype("f8").ravel()
    upper, lower = d + bound, d - bound
    u, low, head = np.inf, -np.inf, 0
    for i in range(len(d)):
        if min(u, upper[i]) - max(low, lower[i]) < 0:
            d[head:i] = (u + low) / 2
            u, low, head = np.inf, -np.inf, i
        u, low = min(u, upper[i]), max(low, lower[i])
    d[head:] = (u + low) / 2
    return d


def python_loop(frames: np.ndarray, bound: float) -> int:
    """TEZip's coding of 8-bit frames in Python, each predicted by the one before; returns the compressed bytes."""
    import zstandard

    values = frames.astype("i8")
    differences = [intersect(values[t - 1] - values[t], bound) for t in range(1, len(values))]
    d = np.concatenate(differences).astype("i2")
    d[1:] = d[:-1] - d[1:]
    d = 1600 - d
    counts = np.bincount(d)
    used = np.nonzero(counts)[0]
    ranked = used[np.argsort(-counts[used], kind="stable")]
    result = d.copy()
    for rank, value in enumerate(ranked):
        result = np.where(result == value, rank, result)
    packed = zstandard.ZstdCompressor(level=9).compress(np.concatenate([result, ranked]).astype("i2").tobytes())
    return len(packed) + len(zstandard.ZstdCompressor(level=9).compress(frames[0].tobytes()))


def speed(args: argparse.Namespace) -> None:
    """Times of Augur and of Python on one core."""
    field = load(args.data).after(args.skip)
    if field.values.dtype != np.uint8:
        raise SystemExit("error: TEZip's loop is for 8-bit frames")
    field = field.after(max(len(field.values) - 16, 0))
    frames, height, width = field.values.shape[0], *field.values.shape[-2:]
    print(f"{field.name}: {' x '.join(map(str, field.values.shape))} uint8, bound {args.rel:g} of the range, one core")
    plain, _ = measured(field, "tezip", None, args.rel)
    start = time.perf_counter()
    size = python_loop(field.values, args.rel * field.value_range)
    loop = time.perf_counter() - start
    augur = field.values.nbytes / 1e6 / plain["write"]
    print(f"coding, each frame predicted by the one before: Python {loop:.2f} s (ratio {field.values.nbytes / size:.2f}), "
          f"Augur {augur:.3f} s (ratio {plain['ratio']:.2f}, writing the file included): {loop / augur:.1f} times as fast")
    with_model, _ = measured(field, "tezip", args.model, args.rel)
    written = field.values.nbytes / 1e6 / with_model["write"]
    read = field.values.nbytes / 1e6 / with_model["read"]
    print(f"with the network: Augur writes {with_model['write']:.2f} MB/s ({written:.2f} s, {1e3 * written / frames:.0f} ms a frame) "
          f"and reads {with_model['read']:.2f} MB/s ({1e3 * read / frames:.0f} ms a frame)")
    command = [args.python, os.path.join(HERE, "eager.py"), args.model, str(height), str(width)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print("PyTorch: " + (done.stderr.strip().splitlines() or ["no answer"])[-1])
        return
    eager = json.loads(done.stdout)["seconds"]
    levels = field.values[0].size // (height * width)
    print(f"the network in PyTorch, eager float32: {1e3 * eager:.0f} ms a run, {eager * levels * frames:.2f} s for all; "
          f"reading with Augur, network and decoding: {eager * levels * frames / read:.1f} times as fast; "
          f"TEZip in Python, network and coding: {eager * levels * frames + loop:.2f} s, Augur {written:.2f} s: "
          f"{(eager * levels * frames + loop) / written:.1f} times as fast")


def picture(args: argparse.Namespace) -> None:
    """Original, predicted, decoded, error."""
    import h5augur
    import h5py
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    field = load(args.data).after(args.skip)
    row, decoded = measured(field, "tezip", args.model, args.rel, 1)
    bound = args.rel * field.value_range
    at = len(field.values) // 2
    with tempfile.TemporaryDirectory() as directory:
        file, out = os.path.join(directory, "x.h5"), os.path.join(directory, "predicted.raw")
        with h5py.File(file, "w") as f:
            model = h5augur.embed_model(f, args.model)
            chunks = demo.chunk_shape(field.values.shape, field.values.dtype.itemsize)
            f.create_dataset("x", data=field.values, chunks=chunks, **h5augur.Augur(absolute=bound, preset="tezip", model=model))
        subprocess.run([args.augur, "export", f"{file}:/x", "--predicted", "--format", "raw", "-o", out], check=True, capture_output=True)
        predicted = np.fromfile(out, field.values.dtype).reshape(field.values.shape)
    plane = (at, *(0,) * (field.values.ndim - 3))
    shown = [a[plane].astype("f8") for a in (field.values, predicted, decoded)]
    figure, panels = plt.subplots(4, 1, figsize=(11, 13), layout="constrained")
    titles = ["original", "predicted by the network", f"decoded, {row['ratio']:.1f} times smaller (weights not counted)",
              f"decoded - original (bound {bound:.3g}, largest error {row['error'] * bound:.3g})"]
    for panel, image, title in zip(panels, [*shown, shown[2] - shown[0]], titles):
        error = title.startswith("decoded -")
        kept = panel.imshow(image, cmap="RdBu_r" if error else "gray", vmin=-bound if error else shown[0].min(),
                            vmax=bound if error else shown[0].max())
        figure.colorbar(kept, ax=panel, shrink=0.9)
        panel.set_title(title)
        panel.set_axis_off()
    figure.suptitle(f"{os.path.basename(args.data)}, frame {at + 1}, preset tezip, bound {args.rel:g} of the range")
    figure.savefig(args.out, dpi=90)
    print(f"picture: {os.path.abspath(args.out)}")


def main() -> None:
    """Runs one of the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="table | speed | picture")
    one = commands.add_parser("table", help="ratios with the network and without")
    one.add_argument("sets", nargs="+", metavar="MODEL=FILE[:/dataset]")
    one.add_argument("--rel", nargs="+", type=float, default=RELS)
    one.set_defaults(run=table)
    two = commands.add_parser("speed", help="beside Python and PyTorch")
    three = commands.add_parser("picture", help="original, predicted, decoded, error")
    for command, run in ((two, speed), (three, picture)):
        command.add_argument("model")
        command.add_argument("data", metavar="FILE[:/dataset]")
        command.add_argument("--rel", type=float, default=1e-1)
        command.set_defaults(run=run)
    two.add_argument("--python", default=sys.executable, help="a Python with PyTorch")
    three.add_argument("--augur", default=os.path.join(HERE, "..", "dist", "bin", "augur"), help="the augur command")
    for command in (one, two, three):
        command.add_argument("--skip", type=int, default=0, metavar="STEPS", help="leave out the first steps, such as a model was trained on")
    one.add_argument("--out", help="Markdown file for the table")
    three.add_argument("--out", required=True, help="PNG to draw")
    args = parser.parse_args()
    try:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    except AttributeError:
        pass
    args.run(args)


if __name__ == "__main__":
    main()
