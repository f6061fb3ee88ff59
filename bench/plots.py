"""Pictures of a comparison: ratio against speed, and rate-distortion curves."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import matplotlib.ticker as ticker
from contestants import Contestant
from summary import Summary

# Most bounds that the trade-off shows.
PANELS = 3
LEGEND_COLUMNS = 5


def plain_log(axis) -> None:
    """A logarithmic axis with plain numbers at 1, 2, 5, 10, ..."""
    low, high = axis.get_view_interval()
    wide = max(low, high) > 300 * min(low, high)
    axis.set_major_locator(ticker.LogLocator(subs=(1,) if wide else (1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(ticker.NullFormatter())


def shown_bounds(rels: list[float]) -> list[float]:
    """The bounds of the trade-off: 1e-2, 1e-3 and 1e-4 where they were measured, otherwise first, middle and last."""
    usual = [r for r in rels if r in (1e-2, 1e-3, 1e-4)]
    if len(usual) == PANELS or len(rels) <= PANELS:
        return usual if len(usual) == PANELS else rels
    return [rels[0], rels[len(rels) // 2], rels[-1]]


def frontier(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other one exceeds in both coordinates, fastest first."""
    best, out = 0.0, []
    for x, y in sorted(points, reverse=True):
        if y > best:
            best = y
            out.append((x, y))
    return out


def trade_off(path: str, summary: Summary, title: str) -> None:
    """Compression ratio against write speed (above) and read speed (below), a column for each bound."""
    rels = shown_bounds(summary.rels)
    figure, panels = plt.subplots(2, len(rels), figsize=(4.1 * len(rels) + 0.6, 7.6), layout="constrained", squeeze=False,
                                  sharex="row", sharey="col")
    for row, speed in zip(panels, ("write", "read")):
        for panel, rel in zip(row, rels):
            points = []
            for c in summary.contestants:
                x, y = summary.mean(c.label, rel, speed), summary.mean(c.label, rel, "ratio")
                if x is None or y is None:
                    continue
                points.append((x, y))
                own = c.name == "augur"
                panel.scatter([x], [y], s=85 if own else 55, color=c.colour, marker=c.marker, zorder=4 if own else 3,
                              facecolors="white" if summary.broke(c.label, rel) else c.colour)
            edge = frontier(points)
            panel.plot([p[0] for p in edge], [p[1] for p in edge], color="0.6", linewidth=1, linestyle="--", zorder=1)
            panel.set(xscale="log", yscale="log", xlabel=f"{speed} speed [MB/s]", axisbelow=True)
            if speed == "write":
                panel.set_title(f"bound {rel:g} of the value range", fontsize=11)
            panel.grid(alpha=0.3, which="both", linewidth=0.5)
            panel.margins(0.12)
        row[0].set_ylabel("compression ratio")
    for c in summary.contestants:  # for the legend
        panels[0, 0].plot([], [], color=c.colour, marker=c.marker, linestyle="", markersize=9 if c.name == "augur" else 7, label=c.label)
    for panel in panels.flat:
        plain_log(panel.xaxis)
        plain_log(panel.yaxis)
    finish(figure, panels[0, 0], path, f"Ratio against speed, one core: {title}\n(up and right is better; dashed: nobody is both "
           "smaller and faster" + hollow(summary, rels) + ")")


def rate_distortion(path: str, summary: Summary, title: str) -> None:
    """Bits per value against PSNR, and against the bound that was asked for."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12.5, 5.6), layout="constrained")
    lossy = [c for c in summary.contestants if not c.lossless]
    for c in lossy:
        rels = [r for r in summary.rels if summary.count(c.label, r)]
        bits = [summary.mean(c.label, r, "bits") for r in rels]
        curve(left, c, bits, [summary.mean(c.label, r, "psnr") for r in rels], [summary.broke(c.label, r) for r in rels])
        curve(right, c, rels, bits, [summary.broke(c.label, r) for r in rels])
    left.set(xscale="log", xlabel="bits per value", ylabel="PSNR [dB]", title="error that came out (up and left is better)")
    right.set(xscale="log", yscale="log", xlabel="bound as a fraction of the value range", ylabel="bits per value",
              title="bound that was asked for (down is better)")
    right.invert_xaxis()
    plain_log(left.xaxis)
    plain_log(right.yaxis)
    for panel in (left, right):
        panel.grid(alpha=0.3, which="both", linewidth=0.5)
    finish(figure, left, path, title + hollow(summary, summary.rels))


def curve(panel, c: Contestant, x: list, y: list, broken: list[bool]) -> None:
    """One line with markers; those at which the bound was broken are hollow."""
    own = c.name == "augur"
    panel.plot(x, y, color=c.colour, linewidth=2 if own else 1.2, zorder=3 if own else 2)
    panel.plot([], [], color=c.colour, linewidth=2 if own else 1.2, marker=c.marker, label=c.label)  # for the legend
    faces = ["white" if b else c.colour for b in broken]
    panel.scatter(x, y, color=c.colour, facecolors=faces, marker=c.marker, s=36, zorder=4 if own else 3)


def hollow(summary: Summary, rels: list[float]) -> str:
    """Explains hollow markers where there are any."""
    broken = any(summary.broke(c.label, r) for c in summary.contestants for r in rels)
    return "; hollow: the bound was broken" if broken else ""


def finish(figure, panel, path: str, title: str) -> None:
    """Adds title and legend, and writes the picture."""
    figure.suptitle(title, fontsize=12)
    figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=LEGEND_COLUMNS)
    figure.savefig(path, dpi=100)
    plt.close(figure)
