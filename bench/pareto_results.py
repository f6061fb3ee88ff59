"""Tables and the picture of what models of several sizes gave: `pareto.py`'s results."""

from __future__ import annotations

import math

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from plots import frontier, plain_log

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555"]
# Sizes that users choose from are drawn large.
SIZES = "small", "medium", "large"
# How a model's networks are drawn: by how its name begins, otherwise it is a forecaster.
MARKS = {"corrector": "s", "both": "D"}


def mark(model: str) -> str:
    """The mark of a model."""
    return MARKS.get(model.split("-")[0], "o")


def is_size(model: str) -> bool:
    """Whether users can choose it, not only whoever trained it."""
    return model.removeprefix("corrector-").removeprefix("both-") in SIZES


def title(model: str) -> str:
    """How tables call a model."""
    part, _, size = model.rpartition("-")
    named = f"`{size}`" if size in SIZES else model
    return {"corrector": f"corrector, {named}", "both": f"both, {named}"}.get(part, named)


def mean(values: list[float]) -> float:
    """The geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def fields(results: dict) -> list[str]:
    """The fields in the order of measuring."""
    return list(dict.fromkeys(r["field"] for r in results["rows"]))


def common(results: dict) -> list[str]:
    """Models that every field has, cheapest first."""
    have = [{r["model"] for r in results["rows"] if r["field"] == f} for f in fields(results)]
    cost = {r["model"]: r["operations"] for r in results["rows"]}
    return sorted(set.intersection(*have), key=lambda m: cost[m])


def at(results: dict, field: str, model: str, rel: float) -> dict:
    """The row of a field, model and bound."""
    return next(r for r in results["rows"] if (r["field"], r["model"], r["rel"]) == (field, model, rel))


def pays(smaller: dict | None, larger: dict) -> str:
    """The size of a field in MB from which on the larger model makes up for its bytes, over a smaller one or none."""
    bytes_more = larger["stored_bytes"] - (smaller["stored_bytes"] if smaller else 0)
    saved = 1 / (smaller["learned"] if smaller else larger["balanced"]) - 1 / larger["learned"]
    return f"{bytes_more / saved / 1e6:.3g}" if saved > 0 else "never"


def pays_table(results: dict) -> list[str]:
    """From what size of a field on each size that users choose from is the best one."""
    chosen = [s for s in SIZES if s in common(results)]
    if not chosen:
        return []
    steps = list(zip(["balanced", *chosen], chosen))
    out = ["MB of a field from which on a model makes up for its bytes, over the size before it:\n",
           "| field, bound | " + " | ".join(f"`{b}` over `{a}`" for a, b in steps) + " |", "|---|" + "---:|" * len(steps)]
    for field in fields(results):
        for rel in results["rels"]:
            rows = [at(results, field, size, rel) for size in chosen]
            out.append(f"| {field}, {rel:g} | " + " | ".join(pays(a, b) for a, b in zip([None, *rows], rows)) + " |")
    return [*out, ""]


def table(results: dict) -> str:
    """Markdown: one table per field, and the geometric means over fields of the models that all of them have."""
    rels, out = results["rels"], []
    middle = rels[len(rels) // 2]
    for field in fields(results):  # what the last row of a bound states is the best of all
        for rel in rels:
            rows = [r for r in results["rows"] if (r["field"], r["rel"]) == (field, rel)]
            for key in ("balanced_write", "balanced_read"):
                best = max(r[key] for r in rows)
                for r in rows:
                    r[key] = best
    head = "| model | multiply-adds | in the file | " + " | ".join(f"{r:g}" for r in rels) + f" | write, read at {middle:g} | trained in |"
    lines = "|---|---:|---:|" + "---:|" * (len(rels) + 2)
    for field in fields(results):
        own = [r for r in results["rows"] if r["field"] == field]
        models = sorted({r["model"] for r in own}, key=lambda m: next(r["operations"] for r in own if r["model"] == m))
        out += [f"{results['titles'][field]}:\n", head, lines]
        plain = [at(results, field, models[0], rel) for rel in rels]
        best = [at(results, field, models[0], middle)[k] for k in ("balanced_write", "balanced_read")]
        out.append("| `balanced` | 0 | 0 | " + " | ".join(f"{r['balanced']:.2f}" for r in plain) + f" | {best[0]:.0f}, {best[1]:.0f} MB/s | |")
        for model in models:
            rows = [at(results, field, model, rel) for rel in rels]
            one = at(results, field, model, middle)
            training = f"{one['training']['cpu']:.0f} s" if "training" in one else ""
            name = title(model)
            out.append(f"| {name} | {one['operations']:,.0f} | {one['stored_bytes'] / 1e3:.1f} kB | "
                       + " | ".join(f"{r['learned']:.2f} ({r['counted']:.2f})" for r in rows)
                       + f" | {one['write']:.0f}, {one['read']:.0f} MB/s | {training} |")
        out.append("")
    if len(fields(results)) > 1:
        out += [f"Over `balanced`, geometric means over the {len(fields(results))} fields:\n",
                "| model | multiply-adds | " + " | ".join(f"{r:g}" for r in rels) + f" | write, read over `balanced` at {middle:g} |",
                "|---|---:|" + "---:|" * (len(rels) + 1)]
        for model in common(results):
            cells = []
            for rel in rels:
                rows = [at(results, f, model, rel) for f in fields(results)]
                cells.append(f"{mean([r['learned'] / r['balanced'] for r in rows]):.3f} ({mean([r['counted'] / r['balanced'] for r in rows]):.3f})")
            rows = [at(results, f, model, middle) for f in fields(results)]
            speed = ", ".join(f"{mean([r[k] / r['balanced_' + k] for r in rows]):.2f}" for k in ("write", "read"))
            name = title(model)
            out.append(f"| {name} | {rows[0]['operations']:,.0f} | " + " | ".join(cells) + f" | {speed} |")
        out.append("")
    out += pays_table(results)
    return "\n".join(out)


def draw(path: str, results: dict) -> None:
    """The gain over `balanced` (above) and the speeds (below) against multiply-adds per point, a column for each bound."""
    rels = results["rels"]
    figure, panels = plt.subplots(2, len(rels), figsize=(4.1 * len(rels) + 0.6, 7.8), layout="constrained", squeeze=False,
                                  sharex=True, sharey="row")
    for column, rel in enumerate(rels):
        gain, speed = panels[:, column]
        for field, colour in zip(fields(results), COLOURS * 9):
            rows = sorted((r for r in results["rows"] if r["field"] == field and r["rel"] == rel), key=lambda r: r["operations"])
            x = [r["operations"] for r in rows]
            over = [r["learned"] / r["balanced"] for r in rows]
            for row, gained in zip(rows, over):
                look = {"s": 60 if is_size(row["model"]) else 22, "marker": mark(row["model"])}
                at = row["operations"]
                gain.scatter(at, gained, color=colour, zorder=3, **look)
                gain.scatter(at, row["counted"] / row["balanced"], facecolors="none", edgecolors=colour, zorder=2, **look)
                speed.scatter(at, row["write"], color=colour, zorder=3, **look)
                speed.scatter(at, row["read"], facecolors="none", edgecolors=colour, zorder=3, **look)
            edge = frontier([(1 / a, b) for a, b in zip(x, over)])
            gain.plot([1 / a for a, _ in edge], [b for _, b in edge], color=colour, linewidth=1.2, zorder=1, label=field)
        gain.axhline(1, color="0.5", linewidth=1)
        gain.set(xscale="log", title=f"bound {rel:g} of the value range")
        speed.set(xscale="log", yscale="log", xlabel="multiply-adds per point")
        plain_log(speed.xaxis)
        for panel in (gain, speed):
            panel.grid(alpha=0.3, which="both", linewidth=0.5)
    panels[0, 0].set_ylabel("ratio of learned over that of balanced")
    panels[1, 0].set_ylabel("MB/s on one core")
    plain_log(panels[1, 0].yaxis)
    names = {r["model"] for r in results["rows"]}
    shapes = [f"{'circles' if m == 'o' else 'squares' if m == 's' else 'diamonds'}: {what}"
              for m, what in (("o", "forecasters"), ("s", "correctors"), ("D", "both")) if any(mark(n) == m for n in names)]
    others = [] if all(map(is_size, names)) else ["small marks: other widths and depths"]
    figure.suptitle("What a larger model gives on steps that it was not trained on, and what it costs\n(above, filled: without the model's bytes, the line joins "
                    "the best for their cost; hollow: with them;\n"
                    f"below, filled: writing, hollow: reading; {'; '.join(shapes + others)})", fontsize=11)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=100)
    plt.close(figure)
