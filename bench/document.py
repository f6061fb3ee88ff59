"""Puts measured tables into pages, between `<!-- begin NAME -->` and `<!-- end NAME -->`."""

from __future__ import annotations


def put(path: str, name: str, text: str) -> None:
    """Replaces what stands between the marks of `name` in a page."""
    with open(path, encoding="utf-8") as f:
        page = f.read()
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    if begin not in page or end not in page:
        raise SystemExit(f"error: {path} has no place for {name!r}: {begin.strip()} ... {end}")
    before, rest = page.split(begin, 1)
    after = rest.split(end, 1)[1]
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{before}{begin}{text.strip()}\n{end}{after}")
