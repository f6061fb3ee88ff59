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

import document  # noqa: E402
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


def geometric(results: dict, presets: list[str]) -> str:
    """Mean error and ratio of each share and sampling over those of training on all blocks: geometric means over the fields."""
    whole = {(r["name"], r["architecture"]): r for r in results.values() if r["share"] == 1}
    pairs = [(r, whole[r["name"], r["architecture"]]) for r in results.values()
             if r["share"] < 1 and (r["name"], r["architecture"]) in whole]
    if not pairs:
        return ""
    preset = next((p for p in presets if all(p in r.get("held_out", {}) for pair in pairs for r in pair)), None)
    shares = sorted({r["share"] for r, _ in pairs}, reverse=True)
    lines = [f"| error{f', ratio of `{preset}`' if preset else ''}, over those of all blocks | " + " | ".join(f"{100 * s:g} %" for s in shares) + " |",
             "|---|" + "---:|" * len(shares)]
    for sampling in dict.fromkeys(r["sampling"] for r, _ in pairs):
        cells = []
        for share in shares:
            some = [p for p in pairs if (p[0]["sampling"], p[0]["share"]) == (sampling, share)]
            of = [lambda r: r["training"]["reconstruction"]["error"]] + ([lambda r: r["held_out"][preset]["ratio"]] if preset else [])
            means = [math.exp(sum(math.log(f(r) / f(w)) for r, w in some) / len(some)) for f in of] if some else []
            cells.append(", ".join(f"{m:.2f}" for m in means))
        lines.append(f"| {sampling} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def show(results: dict, options: argparse.Namespace) -> str:
    """Prints the tables, and puts them into the documents where that is asked for."""
    text = geometric(results, options.presets) + "\n" + tables(results, options.presets)
    print(text)
    if options.docs:
        document.put(os.path.join(options.docs, "models.md"), "proportion", text)
    return text


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
    parser.add_argument("--docs", help="folder with models.md: puts the tables there, too")
    parser.add_argument("--show", metavar="RESULTS", help="tables of runs that were made")
    options = parser.parse_args(own)
    if options.show:
        with open(options.show) as f:
            results = json.load(f)
        show(results, options)
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
    with open(os.path.join(options.out, "proportion.md"), "w") as f:
        f.write(show(results, options))


if __name__ == "__main__":
    main()
