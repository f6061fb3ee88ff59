"""The order in which frames are coded, and what each refers to: section 5 of docs/format.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decoder import Frames

PREVIOUS, HIERARCHICAL, INDEPENDENT, FORECAST, RECONSTRUCTED, BOTH_RECONSTRUCTED = range(6)
BETWEEN, RECURRENT = "between", "recurrent"


@dataclass
class Step:
    frame: int
    references: list
    klass: int
    forecast: list
    reconstructed: bool

    @property
    def count(self) -> int:
        return len(self.references) + (bool(self.forecast) or self.reconstructed)


def coding_order(order: int, f: Frames, forecasts) -> list[Step]:
    window = forecasts.window
    times, last = [(0, (), 0)], f.steps - 1
    reconstructed = order >= RECONSTRUCTED
    order = {RECONSTRUCTED: PREVIOUS, BOTH_RECONSTRUCTED: HIERARCHICAL}.get(order, order)
    if order == PREVIOUS:
        times += [(t, (t - 1, max(t - 2, 0)), 1) for t in range(1, f.steps)]
    elif order == FORECAST and window != BETWEEN:
        times += [(t, (t - 1, max(t - 2, 0)), min(t, 2)) for t in range(1, f.steps)]
    elif order == INDEPENDENT:
        times += [(t, (), 0) for t in range(1, f.steps)]
    elif last > 0:
        times.append((last, (0, 0), 4))
        spans = [(0, last)]
        while spans:
            following = []
            for a, b in spans:
                if b - a >= 2:
                    m = (a + b) // 2
                    times.append((m, (a, b), 1 if b - a <= 2 else 2 if b - a <= 4 else 3))
                    following += [(a, m), (m, b)]
            spans = following
    plan = []
    for t, references, distance in times:
        for z in range(f.levels):
            if not references:
                pairs, klass = ([(t, z - 1), (t, max(z - 2, 0))], 5) if z else ([], 0)
            elif z == 0:
                pairs, klass = [(r, 0) for r in references], distance
            elif order == PREVIOUS or (order == FORECAST and window != BETWEEN):
                pairs, klass = [(references[0], z), (t, z - 1), (references[0], z - 1)], 5 + distance
            else:
                pairs, klass = [(r, z) for r in references] + [(t, z - 1)], 5 + distance
            read = []
            if window == BETWEEN:
                a, b = references or (0, 0)
                read = [(a, z), (b, z)] if a < t < b <= a + 4 else []
            elif window == RECURRENT and t >= 1:
                group = range(z // forecasts.channels * forecasts.channels, (z // forecasts.channels + 1) * forecasts.channels)
                read = [(s, level) for s in (t - 1, max(t - 2, 0))[: 1 + forecasts.levels] for level in group]
            elif window == "past" and t >= 2:
                read = [(max(t - k, 0), z) for k in range(1, forecasts.past + 1)]
                read += [(t - 1, max(z - 1, 0)), (t - 1, min(z + 1, f.levels - 1))] if forecasts.levels else []
            frames = [[s * f.levels + level for s, level in part] for part in (pairs, read)]
            plan.append(Step(t * f.levels + z, frames[0], klass, frames[1], reconstructed))
    return plan
