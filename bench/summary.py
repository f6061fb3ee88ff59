"""Means over fields: geometric ones of ratio, bits per value and speed, the arithmetic one of PSNR."""

from __future__ import annotations

import math

from contestants import ALL, Contestant

REFERENCE = "Augur balanced"


class Summary:
    """What `compare.py` measured, averaged over its fields.

    A compressor that failed on a field would gain or lose by the field's absence: its mean is its mean relative to the
    reference on the fields that it has, times the reference's mean over all fields.
    """

    def __init__(self, results: dict) -> None:
        self.fields: list[str] = results["fields"]
        self.rels: list[float] = results["rels"]
        self.rows = {(r["label"], r["field"], r["rel"]): r for r in results["rows"]}
        labels = {r["label"] for r in results["rows"]}
        self.contestants: list[Contestant] = [c for c in ALL if c.label in labels]

    def count(self, label: str, rel: float) -> int:
        """Fields that the compressor has a result for."""
        return sum((label, field, rel) in self.rows for field in self.fields)

    def worst(self, label: str, rel: float) -> float:
        """Largest error over the bound in any field."""
        return max((r["error"] for (l, _, b), r in self.rows.items() if l == label and b == rel), default=0.0)

    def broke(self, label: str, rel: float) -> bool:
        """Whether the compressor broke this bound on any field."""
        return self.worst(label, rel) > 1

    def mean(self, label: str, rel: float, key: str) -> float | None:
        """The mean of a column; `None` without results."""
        get = math.log if key != "psnr" else float
        own = {f: get(self.rows[label, f, rel][key]) for f in self.fields if (label, f, rel) in self.rows}
        reference = {f: get(self.rows[REFERENCE, f, rel][key]) for f in self.fields if (REFERENCE, f, rel) in self.rows}
        common = own.keys() & reference.keys()
        if not own:
            return None
        if len(own) < len(self.fields) and common:
            mean = sum(own[f] - reference[f] for f in common) / len(common) + sum(reference.values()) / len(reference)
        else:
            mean = sum(own.values()) / len(own)
        return math.exp(mean) if key != "psnr" else mean

    def best_sz3(self, field: str, rel: float) -> dict | None:
        """The smaller size of both SZ3, the speed of SZ3 3.4 where it has one."""
        found = [self.rows[label, field, rel] for label in ("SZ3 3.4 (pysz)", "SZ3 (hdf5plugin)") if (label, field, rel) in self.rows]
        return dict(found[0], ratio=max(r["ratio"] for r in found)) if found else None

    def against_sz3(self, label: str, rel: float, key: str) -> float | None:
        """Geometric mean of a column over that of the best SZ3."""
        logs = []
        for field in self.fields:
            row, best = self.rows.get((label, field, rel)), self.best_sz3(field, rel)
            if row and best:
                logs.append(math.log(row[key] / best[key]))
        return math.exp(sum(logs) / len(logs)) if logs else None


def table(summary: Summary) -> str:
    """The means in Markdown, one table per bound."""
    out = []
    for rel in summary.rels:
        out += [f"Bound {rel:g} of the value range:\n",
                "| compressor | ratio | write MB/s | read MB/s | PSNR dB | ratio / best SZ3 | write / SZ3 3.4 | read / SZ3 3.4 |",
                "|---|---:|---:|---:|---:|---:|---:|---:|"]
        for c in summary.contestants:
            if not summary.count(c.label, rel):
                continue
            note = "" if summary.count(c.label, rel) == len(summary.fields) else \
                f" ({summary.count(c.label, rel)} of {len(summary.fields)} fields)"
            note += f" (bound exceeded by {summary.worst(c.label, rel) - 1:.0e} of it)" if summary.broke(c.label, rel) else ""
            ratio, write, read, psnr = (summary.mean(c.label, rel, k) for k in ("ratio", "write", "read", "psnr"))
            relative = [summary.against_sz3(c.label, rel, k) for k in ("ratio", "write", "read")]
            cells = [f"{ratio:.2f}", f"{write:.0f}", f"{read:.0f}", "exact" if c.lossless else f"{psnr:.1f}"]
            cells += ["-" if v is None else f"{v:.2f}" for v in relative]
            out.append(f"| {c.label}{note} | " + " | ".join(cells) + " |")
        out.append("")
    return "\n".join(out)
