"""docs/models.md is complete: an evaluator written from it alone gives the bits of the engine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")

import network  # noqa: E402

FOLDER = Path(__file__).resolve().parents[2] / "core" / "tests" / "golden" / "networks"


def made(shape: tuple[int, ...]) -> np.ndarray:
    """The input that the digests are for."""
    i = np.arange(np.prod(shape), dtype=np.uint64)
    return ((i * 2654435761 % 2**32 >> 16).astype(np.uint16).view(np.int16) >> 3).reshape(shape)


@pytest.mark.parametrize("name", sorted(f.stem for f in FOLDER.glob("*.safetensors")))
def test_second_evaluator_gives_the_same_bits(name):
    model = network.Model((FOLDER / f"{name}.safetensors").read_bytes())
    stated = json.loads((FOLDER / f"{name}.json").read_text())
    # Planes have one graph; blocks have an encoder and a decoder, and lie side by side in the last axis.
    graphs, lanes = stated.get("graphs", {"g": stated.get("outputs")}), stated.get("lanes", 1)
    for graph, expected in graphs.items():
        inputs = [made((*size, lanes)) for size in model.sizes(graph, stated.get("size"))]
        each = [model.run(graph, [x[..., lane] for x in inputs]) for lane in range(lanes)]
        outputs = [np.stack(o, axis=-1) for o in zip(*each)]
        found = [hashlib.sha256(o.astype("<i2").tobytes()).hexdigest() for o in outputs]
        assert found == expected
        # Not by chance: no output is all the same.
        assert all(len(np.unique(o)) > 5 for o in outputs)
