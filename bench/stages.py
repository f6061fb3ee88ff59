"""The codec's stages: which functions belong to each, and the bytes and multiply-adds per point that each needs.

The counts are of the algorithm: every row that a loop reads or writes, once per point, whichever cache it comes from. A frame is
refined level by level: what is done on every level costs 1 + 1/4 + 1/16 + ... = 4/3 of one level.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

PYRAMID = 4 / 3
Work = dict | None


def work(read: float, written: float, products: float = 0.0) -> dict:
    """Bytes and multiply-adds per point."""
    return {"read": read, "written": written, "products": products}


@dataclass(frozen=True)
class Stage:
    """A stage, the symbols of its functions, the level of memory that its rows come from, and its work."""

    name: str
    symbols: str
    level: str
    count: Callable[..., Work]

    def work(self, action: str, **facts: float) -> Work:
        """Bytes and multiply-adds per point of this action; `None` where they are not in proportion to the points."""
        return self.count(action == "encode", **facts)


def survey(encode, taps, size, coded):
    """Extent and special values; then values to the grid, where the original is needed again."""
    return work(2 * size, 4) if encode else None


def halos(encode, taps, size, coded):
    """Rows to phases (encoding: the original's, too) and back; halos; levels put together: values and their activities."""
    return work((5 + (4 if encode else 0)) * PYRAMID + 4, (5 + (4 if encode else 0)) * PYRAMID + 4)


STAGES = [
    Stage("survey and map to the grid", r"scan::(range|any_|mark_|positions|floors|clear_|on_grid|off_lattice|grid_points)|special::|mapped::|holes::|grids::|target::|"
          r"grid::|logarithm|round$|trunc$|floor$|predicted::encode::encode", "l3", survey),
    Stage("fit", r"predict::(fit|gram|dot|cost|weights)|lorenzo::estimate|predicted::(apart|choose|rehearsal)|choice|groups|log2|log_|sqrt", "l2", lambda *a, **k: None),
    Stage("masks of special points", r"marks::coded|entropy::binary|exact::|masked::", "l1", lambda *a, **k: None),
    Stage("walk: weighted sums", r"predict::weighted", "l1_shifted",
          lambda encode, taps, size, coded: work(4 * taps, 4, taps)),
    Stage("walk: contexts", r"(contexts(_wide|_narrow)?::|kernel::smooth)", "l1_shifted",
          lambda encode, taps, size, coded: work(26 + 5, 2)),
    Stage("walk: quantise, reconstruct", r"kernel::(quantise|reconstruct|find_large|leave_out|put_back|keep)|marks::|split_row|Coder>::run|split_large|unzigzag",
          "l1", lambda encode, taps, size, coded: work(8, 6) if encode else work(5, 5)),
    Stage("walk: halos and interleaving", r"interleave|plane::|halo|Phases|Pyramid|refine", "l2", halos),
    Stage("walk: the rest", r"multiscale|predict::taps|arrayvec|lorenzo", "l1", lambda *a, **k: None),
    Stage("entropy coding: rANS", r"entropy::((wide|narrow)::|rans|slots)", "l1",
          lambda encode, taps, size, coded: work(2, coded) if encode else work(1 + coded + 4, 1)),
    Stage("entropy coding: counts, quiet zeros, tables", r"entropy::", "l2",
          lambda encode, taps, size, coded: work(2, 0) if encode else None),
    Stage("values and their check", r"scan::(values|squares)|Coder>::frame|put_exact|number::", "l3",
          lambda encode, taps, size, coded: work(4 + (size if encode else 0), size)),
    Stage("checksum", r"checksum::|xxh3|xxhash", "l3", lambda encode, taps, size, coded: work(size + coded, 0)),
    Stage("copies, zeroing", r"mem(set|move|cpy|cmp)|zstd|ZSTD|HUF_|FSE_", "l3", lambda *a, **k: None),
    Stage("allocation", r"malloc|free|realloc|unlink_chunk|brk|mmap|alloc", "l3", lambda *a, **k: None),
    Stage("kernel: page faults, interrupts", r"^$", "l3", lambda *a, **k: None),
    Stage("other", r"", "l3", lambda *a, **k: None),
]


def stage_of(symbol: str, kernel: bool) -> str:
    """The first stage that a function's name fits."""
    if kernel:
        return "kernel: page faults, interrupts"
    return next((s.name for s in STAGES if s.symbols != "^$" and re.search(s.symbols, symbol)), "other")
