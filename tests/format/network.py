"""A second evaluator of integer networks, written from docs/models.md alone: plain NumPy, 64-bit integers, no speed."""

from __future__ import annotations

import json
from math import isqrt

import numpy as np

DTYPES = {"I8": "<i1", "U8": "<u1", "I16": "<i2", "I32": "<i4"}
RANGES = {"i8": (-128, 127), "i16": (-32768, 32767)}


class Model:
    """A model file: its graphs and tensors."""

    def __init__(self, data: bytes) -> None:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        self.metadata = header.pop("__metadata__")
        self.graphs = json.loads(self.metadata["graphs"])
        self.tensors = {}
        for name, tensor in header.items():
            first, end = (8 + length + offset for offset in tensor["data_offsets"])
            if tensor["dtype"] in DTYPES:
                values = np.frombuffer(data[first:end], DTYPES[tensor["dtype"]])
                self.tensors[name] = values.reshape(tensor["shape"]).astype(np.int64)

    def run(self, name: str, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Outputs for inputs of shape (channels, levels, rows, columns); of a graph of blocks those of one block."""
        graph = self.graphs[name]
        border = "block" not in graph
        values: list[np.ndarray] = []
        ranks: list[int] = []
        types: list[str] = []
        waiting = list(inputs)
        for node in graph["nodes"]:
            sources = [values[k] for k in node.get("in", [])]
            if node["op"] == "input":
                ranks.append(node.get("rank", 2))
                types.append(node["type"])
                values.append(np.clip(waiting.pop(0).astype(np.int64), *RANGES[node["type"]]))
                continue
            ranks.append(ranks[node["in"][0]])
            # Without a type of its own a node has that of what it reads.
            types.append(node.get("type", types[node["in"][0]]))
            values.append(self.layer({"type": types[-1], **node}, sources, ranks[-1], border))
        return [values[k] for k in graph.get("outputs", [len(values) - 1])]

    def sizes(self, name: str, full: tuple[int, int, int]) -> list[tuple[int, int, int, int]]:
        """Channels, levels, rows and columns of the inputs: in planes of the size `full`, in blocks as they are stated."""
        block = self.graphs[name].get("block", full)
        inputs = (node for node in self.graphs[name]["nodes"] if node["op"] == "input")
        return [(node["channels"], *node.get("size", block)) for node in inputs]

    def nothing(self, name: str, size: tuple[int, int]) -> list[np.ndarray]:
        """Inputs from the second on, all 0, where the first has planes of this size."""
        _, *states = (node for node in self.graphs[name]["nodes"] if node["op"] == "input")
        return [
            np.zeros((node["channels"], 1, size[0] >> node.get("down", 0), size[1] >> node.get("down", 0)), np.int64)
            for node in states
        ]

    def multiple(self, name: str) -> int:
        """What the rows and columns of the inputs must be multiples of: how much coarser the coarsest layer is."""
        down: list[int] = []
        for node in self.graphs[name]["nodes"]:
            before = down[node["in"][0]] if node.get("in") else node.get("down", 0)
            coarser = node["op"] in ("space_to_depth", "maxpool") or (node["op"] in ("conv2d", "conv3d") and node.get("stride", 1) == 2)
            finer = node["op"] in ("depth_to_space", "upsample", "conv2d_transposed")
            down.append(before + coarser - finer)
        return 1 << max(down)

    def layer(self, node: dict, x: list[np.ndarray], rank: int, border: bool) -> np.ndarray:
        op = node["op"]
        first = x[0]
        c, d, h, w = first.shape
        if op in ("conv2d", "conv3d", "dense"):
            weight = self.tensors[node["weight"]]
            weight = weight.reshape(weight.shape[:2] + (1,) * (5 - weight.ndim) + weight.shape[2:])
            s = node.get("stride", 1)
            return self.requantise(node, convolve(first, weight, (s if op == "conv3d" else 1, s, s), border))
        if op == "conv2d_transposed":
            return self.requantise(node, transpose(first, self.tensors[node["weight"]][:, :, None], (1, 2, 2)))
        if op == "conv3d_transposed":
            return self.requantise(node, transpose(first, self.tensors[node["weight"]], (2, 2, 2)))
        if op == "flatten":
            return first.reshape(c, d * h * w).T.reshape(-1, 1, 1, 1)
        if op == "unflatten":
            size = node["size"]
            return first.reshape(np.prod(size), -1).T.reshape(-1, *size)
        if op == "upsample":
            found = first.repeat(2, 2).repeat(2, 3)
            return found.repeat(2, 1) if rank == 3 else found
        if op == "space_to_depth":
            blocks = first.reshape(c, d, h // 2, 2, w // 2, 2)
            return blocks.transpose(0, 3, 5, 1, 2, 4).reshape(4 * c, d, h // 2, w // 2)
        if op == "depth_to_space":
            blocks = first.reshape(c // 4, 2, 2, d, h, w)
            return blocks.transpose(0, 3, 4, 1, 5, 2).reshape(c // 4, d, 2 * h, 2 * w)
        if op == "concat":
            return np.concatenate(x)
        if op == "add":
            return np.clip(first + x[1], *self.clamp(node))
        if op == "subtract":
            shift = node.get("shift", 0)
            return np.clip((first - x[1] + ((1 << shift) >> 1)) >> shift, *self.clamp(node))
        if op == "rescale":
            shift = node["shift"]
            return np.clip((first * node["multiplier"] + (1 << (shift - 1))) >> shift, *self.clamp(node))
        if op == "slice":
            return first[node["from"] : node["from"] + node["channels"]]
        if op == "multiply":
            shift = node["shift"]
            return np.clip((first * x[1] + (1 << (shift - 1))) >> shift, *self.clamp(node))
        if op == "maxpool":
            found = first.reshape(c, d, h // 2, 2, w // 2, 2).max((3, 5))
            return found.reshape(c, d // 2, 2, h // 2, w // 2).max(2) if rank == 3 else found
        if op == "table":
            return self.tensors[node["table"]][first + 128]
        if op == "quantise":
            step = node["step"]
            low, high = self.clamp(node)
            low, high = -(-low // step * step), high // step * step
            return np.clip((first + step // 2) // step * step, low, high)
        if op in ("gdn", "igdn"):
            return self.normalise(node, first)
        raise ValueError(op)

    def clamp(self, node: dict) -> tuple[int, int]:
        return tuple(node["clamp"]) if "clamp" in node else RANGES[node["type"]]

    def requantise(self, node: dict, sums: np.ndarray) -> np.ndarray:
        bias, multiplier, shift = (
            self.tensors[node[k]].reshape(-1, 1, 1, 1) for k in ("bias", "multiplier", "shift")
        )
        return np.clip(((sums + bias) * multiplier + (1 << (shift - 1))) >> shift, *self.clamp(node))

    def normalise(self, node: dict, x: np.ndarray) -> np.ndarray:
        beta = self.tensors[node["beta"]].reshape(-1, 1, 1, 1)
        sums = beta + np.einsum("oi,idhw->odhw", self.tensors[node["gamma"]], x * x)
        root = np.array([isqrt(int(v) << 16) for v in sums.flat], np.int64).reshape(sums.shape)
        multiplier = self.tensors[node["multiplier"]].reshape(-1, 1, 1, 1)
        if node["op"] == "igdn":
            shift = self.tensors[node["shift"]].reshape(-1, 1, 1, 1)
            found = (x * root * multiplier + (1 << (shift - 1))) >> shift
        else:
            found = (2 * x * multiplier + root) // (2 * root)
        return np.clip(found, *self.clamp(node))


def convolve(x: np.ndarray, weight: np.ndarray, stride: tuple[int, int, int], border: bool) -> np.ndarray:
    """Sums of a convolution; outside of the values their border goes on, or there is nothing."""
    kernel = weight.shape[2:]
    padded = np.pad(x, [(0, 0)] + [((k - 1) // 2,) * 2 for k in kernel], mode="edge" if border else "constant")
    size = x.shape[1:]
    total = 0
    for z in range(kernel[0]):
        for i in range(kernel[1]):
            for j in range(kernel[2]):
                part = padded[:, z : z + size[0], i : i + size[1], j : j + size[2]]
                part = part[:, :: stride[0], :: stride[1], :: stride[2]]
                total = total + np.einsum("oi,idhw->odhw", weight[:, :, z, i, j], part)
    return total


def transpose(x: np.ndarray, weight: np.ndarray, stride: tuple[int, int, int]) -> np.ndarray:
    """Sums of a transposed convolution: input i adds to the outputs around stride * i."""
    outputs, _, *kernel = weight.shape
    size = [s * n for s, n in zip(stride, x.shape[1:])]
    total = np.zeros((outputs, *(n + k for n, k in zip(size, kernel))), np.int64)
    for place in np.ndindex(*kernel):
        to = tuple(slice(k, k + n, s) for k, n, s in zip(place, size, stride))
        total[(slice(None), *to)] += np.einsum("oi,idhw->odhw", weight[(slice(None), slice(None), *place)], x)
    return total[(slice(None), *(slice(k // 2, k // 2 + n) for k, n in zip(kernel, size)))]
