"""The demo's picture: original, decoded, and the error in units of the bound, at one time step."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from fields import Field


def draw(path: str, field: Field, decoded: np.ndarray, bound: float, title: str) -> None:
    """Draws the middle time step (for more than two axes in space: the middle of the leading ones) to a PNG."""
    error = np.where(field.valid, decoded.astype("f8") - field.values.astype("f8"), np.nan) / bound
    original = np.where(field.valid, field.values.astype("f8"), np.nan)
    decoded = np.where(field.valid, decoded.astype("f8"), np.nan)
    index: tuple[int, ...] = ()
    while original.ndim - len(index) > 2:
        index += (original.shape[len(index)] // 2,)
    shown = [a[index] for a in (original, decoded, error)]
    where = f"time step {index[0] + 1} of {original.shape[0]}" if index else "all time steps"
    if len(index) > 1:
        where += ", level " + ", ".join(str(i + 1) for i in index[1:])
    axes = [_axis(field, i, original.shape[i]) for i in range(len(index), original.ndim)]
    draw_panel = _lines if shown[0].ndim == 1 else _image

    figure, panels = plt.subplots(1, 3, figsize=(16, 4.4 if shown[0].ndim == 1 else _height(axes)), layout="constrained")
    finite = shown[0][np.isfinite(shown[0])]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low < 0 < high and min(-low, high) > 0.2 * max(-low, high):  # a signed field: colours centred on zero
        limits, colours = (-max(-low, high), max(-low, high)), "RdBu_r"
    else:
        limits, colours = (low, high), "viridis"
    unit = f" [{field.units}]" if field.units else ""
    draw_panel(figure, panels[0], shown[0], axes, limits, colours, field.name + unit)
    draw_panel(figure, panels[1], shown[1], axes, limits, colours, field.name + unit)
    draw_panel(figure, panels[2], shown[2], axes, (-1, 1), "RdBu_r", "error / bound")
    panels[0].set_title(f"original ({where})")
    panels[1].set_title(f"decoded ({title})")
    panels[2].set_title(f"decoded - original (bound {bound:.3g}{' ' + field.units if field.units else ''})")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _axis(field: Field, axis: int, extent: int) -> tuple[str, np.ndarray]:
    names = {"degrees_east": "longitude [°E]", "degrees_north": "latitude [°N]"}
    if axis in field.axes:
        label, coordinates = field.axes[axis]
        if extent > 1 and len(coordinates) == extent and np.ptp(coordinates) > 0:
            return names.get(label, label), coordinates
    return ("time step" if axis == 0 else "index"), np.arange(extent)


def _same_scale(axes) -> bool:
    """Whether both axes are in the same unit, so that a picture must not stretch one of them."""
    labels = [label for label, _ in axes]
    return all("°" in label for label in labels) or labels[0] == labels[1]


def _height(axes) -> float:
    """Height of the figure in inches for which three such images fill its width."""
    if not _same_scale(axes):
        return 5.5
    tall, wide = (abs(c[-1] - c[0]) or 1 for _, c in axes)
    return min(max(4.9 * tall / wide + 1.7, 3.0), 9.0)


def _image(figure, panel, values, axes, limits, colours, label) -> None:
    (ylabel, y), (xlabel, x) = axes
    step = lambda c: (c[-1] - c[0]) / (2 * max(len(c) - 1, 1)) or 0.5  # noqa: E731
    extent = (x[0] - step(x), x[-1] + step(x), y[0] - step(y), y[-1] + step(y))
    colour_map = plt.get_cmap(colours).with_extremes(bad="0.8")
    aspect = "equal" if _same_scale(axes) else "auto"
    image = panel.imshow(values, origin="lower", extent=extent, cmap=colour_map, vmin=limits[0], vmax=limits[1],
                         aspect=aspect, interpolation="nearest")
    panel.set(xlabel=xlabel, ylabel=ylabel)
    bar = figure.colorbar(image, ax=panel, label=label, location="bottom", shrink=0.8, aspect=40)
    if limits == (-1, 1):
        bar.set_ticks([-1, -0.5, 0, 0.5, 1])


def _lines(_figure, panel, values, axes, limits, _colours, label) -> None:
    (xlabel, x), = axes
    panel.plot(x, values, linewidth=0.8)
    margin = 0.05 * (limits[1] - limits[0]) or 1
    panel.set(xlabel=xlabel, ylabel=label, ylim=(limits[0] - margin, limits[1] + margin))
