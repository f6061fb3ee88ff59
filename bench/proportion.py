#!/usr/bin/env python3
"""How much of a field an autoencoder needs to be trained on, and which part: training time and what held-out steps are stored
at, against the proportion and the way of sampling, as in the paper on dataset proportioning (T. Liu, Wang, Q. Liu et al.:
High-ratio lossy compression: exploring the autoencoder to compress scientific data, IEEE Transactions on Big Data, 2021).

    proportion.py FILE:/dataset[=NAME] ... [--architecture swae] [--relative 1e-2] [--max-time 120] [--out build/bench/proportion]
    proportion.py --show build/bench/proportion/results.json

Each proportion (100, 50, 25, 10, 5, 1 %) and sampling (the first blocks, at equal distances, random ones) is one run of
`augur train`. All have the same steps and the same limit of time; a run ends where held-out blocks get no better for a third of its
steps. What follows `--` goes to `augur train`. In `--out`: `results.json`, to which runs that are there already are not
repeated, and `proportion.md`, the tables.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import training  # noqa: E402

PROPORTIONS = [1.0, 0.5, 0.25, 0.1, 0.05, 0.01]
SAMPLINGS = ["first", "strided", "random"]


def train(augur: str, spec: str, architecture: str, relative: str, share: float, sampling: str, seconds: float,
          model: str, more: list[str]) -> dict:
    """One training; what it says of itself, and the seconds of a core that it took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    said = json.loads(training.run(augur, [spec, "--architecture", architecture, "--relative", relative, "--proportion", str(share),
                                           "--sampling", sampling, "--max-time", str(seconds), "--insist", "--json", "-o", model, *more]))
    said["core_seconds"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - used
    return said


def cell(run: dict, presets: list[str]) -> str:
    """Ratios of the presets on held-out steps; without them the mean error there, in thousandths of the range."""
    ratios = [f"{run['held_out'][p]['ratio']:.2f}" for p in presets if p in run.get("held_out", {})]
    return " / ".join(ratios) or f"{1e3 * run['training']['reconstruction']['error']:.2f}"


def tables(results: dict, presets: list[str]) -> str:
    """All runs as tables of Markdown: one line for each field and sampling."""
    lines = []
    for architecture in sorted({r["architecture"] for r in results.values()}):
        runs = [r for r in results.values() if r["architecture"] == architecture]
        shares = sorted({r["share"] for r in runs}, reverse=True)
        for title, of in (("held-out", lambda r: cell(r, presets)), ("seconds", lambda r: f"{r['training']['seconds_to_best']:.0f}")):
            lines += [f"| `{architecture}`, {title} | blocks | " + " | ".join(f"{100 * s:g} %" for s in shares) + " |"]
            lines += ["|---|---|" + "---:|" * len(shares)]
            for name in dict.fromkeys(r["name"] for r in runs):
                for sampling in SAMPLINGS:
                    some = {r["share"]: r for r in runs if r["name"] == name and r["sampling"] in (sampling, "all")}
                    if any(r["sampling"] == sampling for r in some.values()):
                        lines += [f"| {name} | {sampling} | " + " | ".join(of(some[s]) if s in some else "" for s in shares) + " |"]
            lines += [""]
    return "\n".join(lines)


def geometric(results: dict) -> str:
    """The mean error on held-out blocks over that of the first ones, of the same field and share."""
    lines = []
    for sampling in SAMPLINGS[1:]:
        factors = []
        for r in results.values():
            first = next((f for f in results.values() if f["sampling"] == "first" and all(
                f[k] == r[k] for k in ("name", "share", "architecture"))), None)
            if r["sampling"] == sampling and first:
                factors.append(math.log(r["training"]["reconstruction"]["error"] / first["training"]["reconstruction"]["error"]))
        if factors:
            lines.append(f"{sampling} over first blocks, mean error: {math.exp(sum(factors) / len(factors)):.3f} ({len(factors)} pairs)")
    return "\n".join(lines)


def main() -> None:
    own, more = sys.argv[1:], []
    if "--" in own:
        own, more = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fields", nargs="*", metavar="FILE:/dataset[=NAME]")
    parser.add_argument("--architecture", default="swae", choices=["swae", "cae"])
    parser.add_argument("--relative", default="1e-2", help="the bound")
    parser.add_argument("--max-time", type=float, default=120, help="seconds of a run, at most")
    parser.add_argument("--proportions", type=float, nargs="+", default=PROPORTIONS)
    parser.add_argument("--samplings", nargs="+", default=SAMPLINGS, choices=SAMPLINGS)
    parser.add_argument("--presets", nargs="*", default=["ae-sz", "ae-sz+"], help="whose ratios are shown")
    parser.add_argument("--out", default=os.path.join(HERE, "..", "build", "bench", "proportion"))
    parser.add_argument("--show", metavar="RESULTS", help="tables of runs that were made")
    options = parser.parse_args(own)
    if options.show:
        with open(options.show) as f:
            results = json.load(f)
        print(tables(results, options.presets) + "\n" + geometric(results))
        return
    if not options.fields:
        parser.error("name some fields")
    os.makedirs(options.out, exist_ok=True)
    path = os.path.join(options.out, "results.json")
    results = {}
    if os.path.exists(path):
        with open(path) as f:
            results = json.load(f)
    augur = training.command()
    for field in options.fields:
        spec, _, name = field.partition("=")
        name = name or os.path.splitext(os.path.basename(spec.split(":")[0]))[0]
        for share in options.proportions:
            for sampling in options.samplings if share < 1 else ["all"]:
                key = f"{name} {options.architecture} {share:g} {sampling}"
                if key in results:
                    continue
                model = os.path.join(options.out, "model.safetensors")
                run = train(augur, spec, options.architecture, options.relative, share, sampling if share < 1 else "first",
                            options.max_time, model, more)
                results[key] = {"name": name, "architecture": options.architecture, "share": share, "sampling": sampling, **run}
                found = run["training"]
                print(f"{key}: {cell(run, options.presets)} after {found['steps']} steps, {found['seconds']:.0f} s", flush=True)
                with open(path, "w") as f:
                    json.dump(results, f, indent=1)
    text = tables(results, options.presets)
    with open(os.path.join(options.out, "proportion.md"), "w") as f:
        f.write(text)
    print(text + "\n" + geometric(results))


if __name__ == "__main__":
    main()
