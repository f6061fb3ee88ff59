#!/usr/bin/env python3
"""The network of a model file in PyTorch, eager mode, float32, as one would run PredNet today: `eager.py MODEL HEIGHT WIDTH`.

The layers are those of the model's graph with float32 numbers in place of integers: convolutions, sigmoid, tanh, products, sums, pooling.
What only integers need (rounding, shifts) is left out. Prints the seconds that a frame takes on one core, as JSON. PyTorch is
not needed for anything else here: `pip install torch`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np

DTYPES = {"I8": "<i1", "U8": "<u1", "I16": "<i2", "I32": "<i4"}


def read(path: str) -> tuple[dict, dict[str, np.ndarray]]:
    """Graphs and tensors of a model file (safetensors)."""
    with open(path, "rb") as f:
        data = f.read()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    graphs = json.loads(header.pop("__metadata__")["graphs"])
    tensors = {}
    for name, tensor in header.items():
        first, end = (8 + length + offset for offset in tensor["data_offsets"])
        tensors[name] = np.frombuffer(data[first:end], DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
    return graphs, tensors


def compile_graph(graph: dict, tensors: dict[str, np.ndarray]):
    """A function from inputs to outputs."""
    import torch
    from torch.nn import functional

    def weight(name: str) -> torch.Tensor:
        return torch.from_numpy(tensors[name].astype("f4") / 127)

    def table(name: str):
        # Tables of gates are sigmoid or tanh: the first goes from 0 up, the second through it.
        return torch.sigmoid if tensors[name].min() >= 0 else torch.tanh

    def bounded(node: dict):
        low = node.get("clamp", [-1])[0]
        return functional.relu if low == 0 else lambda x: x

    def layer(node: dict):
        op = node["op"]
        if op in ("conv2d", "dense"):
            w = weight(node["weight"])
            w = w.reshape(w.shape + (1,) * (4 - w.ndim))
            b = torch.from_numpy(tensors[node["bias"]].astype("f4") / 1e6)
            stride, pad, after = node.get("stride", 1), w.shape[-1] // 2, bounded(node)
            return lambda x: after(functional.conv2d(x, w, b, stride, pad))
        if op == "conv2d_transposed":
            w = weight(node["weight"]).transpose(0, 1).contiguous()
            pad = w.shape[-1] // 2
            return lambda x: functional.conv_transpose2d(x, w, None, 2, pad, 2 * pad + 2 - w.shape[-1])
        if op == "table":
            return table(node["table"])
        if op in ("subtract", "add", "multiply"):
            after = bounded(node)
            return {
                "subtract": lambda a, b: after(a - b),
                "add": lambda a, b: after(a + b),
                "multiply": lambda a, b: a * b,
            }[op]
        if op == "rescale":  # a change of scale is nothing, its limits may be a hard sigmoid's
            limits = node.get("clamp")
            return (lambda x: x.clamp(0, 1)) if limits and limits[0] == 0 else None
        simple = {
            "upsample": lambda x: functional.interpolate(x, scale_factor=2),
            "maxpool": lambda x: functional.max_pool2d(x, 2),
            "concat": lambda *x: torch.cat(x, 1),
            "slice": lambda x: x[:, node["from"] : node["from"] + node["channels"]],
            "space_to_depth": lambda x: functional.pixel_unshuffle(x, 2),
            "depth_to_space": lambda x: functional.pixel_shuffle(x, 2),
        }
        if op not in simple:
            raise SystemExit(f"error: no rendition of the layer {op!r}")
        return simple[op]

    nodes = graph["nodes"]
    layers = [None if n["op"] == "input" else layer(n) for n in nodes]
    outputs = graph.get("outputs", [len(nodes) - 1])

    def run(inputs: list) -> list:
        waiting, values = iter(inputs), []
        for node, function in zip(nodes, layers):
            if node["op"] == "input":
                values.append(next(waiting))
            elif function is None:
                values.append(values[node["in"][0]])
            else:
                values.append(function(*(values[k] for k in node["in"])))
        return [values[k] for k in outputs]

    return run


def seconds(path: str, height: int, width: int, frames: int) -> float:
    """Seconds a frame: the best of `frames`, states fed back, on one core."""
    import torch

    torch.set_num_threads(1)
    graphs, tensors = read(path)
    graph = graphs.get("recurrent") or graphs.get("forecaster")
    if graph is None:
        raise SystemExit(f"error: {path} has neither a recurrent graph nor a forecaster")
    run = compile_graph(graph, tensors)
    multiple = 1 << max(n.get("down", 0) for n in graph["nodes"]) if graph is graphs.get("recurrent") else 8
    height, width = (-(-n // multiple) * multiple for n in (height, width))
    shapes = [(1, n["channels"], height >> n.get("down", 0), width >> n.get("down", 0)) for n in graph["nodes"] if n["op"] == "input"]
    states = [torch.zeros(s) for s in shapes[1:]]
    frame = torch.randn(shapes[0])
    best = float("inf")
    with torch.inference_mode():
        for _ in range(frames + 1):
            start = time.perf_counter()
            _, *found = run([frame, *states])
            best = min(best, time.perf_counter() - start)
            states = found if len(found) == len(states) else states
    return best


def main() -> None:
    """Prints the time of a frame."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("height", type=int)
    parser.add_argument("width", type=int)
    parser.add_argument("--frames", type=int, default=10)
    args = parser.parse_args()
    try:
        import torch  # noqa: F401
    except ImportError:
        raise SystemExit("error: this comparison needs PyTorch: pip install torch") from None
    json.dump({"seconds": seconds(args.model, args.height, args.width, args.frames)}, sys.stdout)


if __name__ == "__main__":
    main()
