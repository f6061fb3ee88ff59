"""A progress bar on standard error; nothing is drawn where that is no terminal."""

from __future__ import annotations

import sys
import time


class Progress:
    """Counts the steps of long work."""

    WIDTH = 30

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.start = time.monotonic()
        self.shown = sys.stderr.isatty()

    def print(self, line: str = "") -> None:
        """Prints a line above the bar."""
        self.clear()
        print(line, flush=True)

    def step(self, what: str) -> None:
        """Draws the bar for the step that begins now, and counts it."""
        if self.shown:
            filled = self.WIDTH * self.done // max(self.total, 1)
            bar = ("=" * filled + ">")[: self.WIDTH].ljust(self.WIDTH)
            left = (time.monotonic() - self.start) / self.done * (self.total - self.done) if self.done else 0
            eta = f", {left / 60:.0f} min left" if left > 90 else f", {left:.0f} s left" if self.done else ""
            print(f"\r\x1b[K[{bar}] {self.done}/{self.total}{eta}: {what[:60]}", end="", file=sys.stderr, flush=True)
        self.done += 1

    def clear(self) -> None:
        """Removes the bar."""
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
