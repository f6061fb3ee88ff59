"""Symbols of residuals: sections 8 and 9 of docs/format.md, and the Huffman codes of section 12."""

from __future__ import annotations

import struct

from reading import Bits, Parts, need, unzigzag, wrap

CONTEXTS = 218
ESCAPE = 65535

# --- 8. Frequency tables ----------------------------------------------------------------------------------

ONE = 1 << 32


def mul(x: int, y: int) -> int:
    return x * y >> 32


def read_classes(bits: Bits) -> list[int]:
    """How quiet each context is."""
    out = []
    if not bits.get(1):
        return [0] * CONTEXTS
    while len(out) < CONTEXTS:
        klass = bits.get(2)
        need(klass <= 2, "class of a quiet context")
        out += [klass] * (bits.golomb(2) + 1)
    need(len(out) == CONTEXTS, "number of quiet contexts")
    return out


def read_table(bits: Bits):
    """Frequencies of the symbols in use; None for a context that does not occur."""
    if not bits.get(1):
        return None
    top = bits.get(6)
    used = 2 * top + 1 if top <= 32 else 65 + 2 * (top - 32)
    if bits.get(1):
        zero = bits.get(6)
        return geometric(zero, bits.get(6), used)
    last, out = [2048, 2048], []
    for s in range(used):
        f = bits.golomb(max(last[s % 2].bit_length() - 2, 0))
        out.append(f)
        last[s % 2] = f
        if s == 0:
            last = [f // 2, f // 2]
    need(sum(out) == 4096, "sum of frequencies")
    return out


def geometric(zero: int, mean: int, used: int) -> list[int]:
    nonzero, m = ONE, ONE // 64
    for _ in range(zero):
        nonzero = mul(nonzero, 3738986199)
    for _ in range(mean):
        m = mul(m, 5107605667)
    ratio = (m << 32) // (m + ONE)

    weights, tail = [(ONE - nonzero) << 8], ONE
    for k in range(1, 33):
        following = mul(tail, ratio)
        weights += 2 * [mul(tail - following, nonzero) << 7]
        tail = following
    direct, power, product = tail, ratio, ratio
    for _ in range(31):
        following = min(mul(direct, product), tail)
        weights += 2 * [mul(tail - following, nonzero) << 7]
        tail = following
        power = mul(power, power)
        product = mul(product, power)
    weights = weights[:used]
    total = max(sum(weights), 1)
    out = [max(1, w * 4096 // total) for w in weights]
    while sum(out) > 4096:
        largest = out.index(max(out))
        out[largest] -= min(sum(out) - 4096, out[largest] // 2)
    out[out.index(max(out))] += 4096 - sum(out)
    return out


# --- 9. Residuals -----------------------------------------------------------------------------------------


def large(symbol: int, plain: Bits) -> int:
    """The residual of a symbol."""
    if symbol <= 64:
        return unzigzag(symbol)
    n, positive = divmod(symbol - 65, 2)
    magnitude = 32 + (1 << n) + plain.get(n)
    return wrap(magnitude if positive else -magnitude)


class Symbols:
    """The entropy-coded symbols of a band."""

    def __init__(self, data: bytes, tables, classes):
        head = Bits(data)
        self.states = []
        for _ in range(32):
            n = head.get(5)
            self.states.append((1 << n) + head.get(n))
        data = data[(head.at + 7) // 8 :]
        need(len(data) % 2 == 0, "size of an entropy-coded part")
        self.words = struct.unpack(f"<{len(data) // 2}H", data)
        self.at, self.tables, self.classes, self.slots = 0, tables, classes, {}

    def slot_table(self, context: int):
        if context not in self.slots:
            freqs = self.tables[context]
            need(freqs is not None, "a context without a frequency table")
            start, out = 0, []
            for symbol, f in enumerate(freqs):
                out += [(symbol, f, start)] * f
                start += f
            self.slots[context] = out
        return self.slots[context]

    def batch(self, contexts) -> list[int]:
        places = [[i for i, c in enumerate(contexts) if self.classes[c] == klass] for klass in range(3)]
        blocks = [[p[i : i + 32] for i in range(0, len(p) - 31, 32)] for p in places]
        if not any(blocks[1:]):
            return self.run(contexts)
        out = [0] * len(contexts)
        counts = self.run([CONTEXTS] * len(blocks[1]) + [CONTEXTS + 1] * len(blocks[2]))
        need(max(counts) <= 32, "zeros of a block")
        ends = iter(self.run([222] * sum(z > 0 for z in counts)))
        others, counts = list(places[0]), iter(counts)
        for klass in (1, 2):
            for block in blocks[klass]:
                z = next(counts)
                if z > 0:
                    out[block[z - 1]] = next(ends)
                    others += block[z:]
            others += places[klass][32 * len(blocks[klass]) :]
        for i, symbol in zip(others, self.run([contexts[i] for i in others])):
            out[i] = symbol
        return out

    def run(self, tables) -> list[int]:
        out = []
        for j, context in enumerate(tables):
            x = self.states[j % 32]
            slot = x % 4096
            symbol, f, start = self.slot_table(context)[slot]
            x = f * (x // 4096) + slot - start
            if x < 1 << 16 and self.at < len(self.words):
                x = (x << 16) + self.words[self.at]
                self.at += 1
            self.states[j % 32] = x
            out.append(symbol)
        return out

    def finish(self) -> None:
        need(self.at == len(self.words), "words after the last symbol")
        need(all(x in (1 << n for n in range(17)) for x in self.states), "the end of an entropy-coded part")


# --- 12. Blockwise prediction: codes --------------------------------------------------------------------


def read_code(r: Parts) -> dict:
    """(length, code) -> symbol."""
    n = r.number()
    need(n <= 65536, "symbols of a Huffman code")
    table, symbol, lengths = Parts(r.packed(4 * n)), -1, []
    for _ in range(n):
        symbol += table.number() + 1
        lengths.append((table.byte(), symbol))
        need(symbol <= ESCAPE and (1 <= lengths[-1][0] <= 30 or n == 1 and lengths[-1][0] == 0), "a Huffman code's symbol")
    need(table.at == len(table.data), "bytes after a Huffman code")
    need(n == 0 or sum(1 << 30 - length for length, _ in lengths) == 1 << 30, "a Huffman code is not complete")
    out, code, last = {}, -1, 0
    for length, symbol in sorted(lengths):
        code = (code + 1) << length - last
        last = length
        out[length, code] = symbol
    return out


class Huffman:
    """The symbols of a part."""

    def __init__(self, code: dict, data: bytes):
        self.code, self.bits = code, Bits(data)

    def next(self) -> int:
        need(bool(self.code), "a symbol without a code")
        length = value = 0
        while (length, value) not in self.code:
            value = value << 1 | self.bits.get(1)
            length += 1
        return self.code[length, value]

    def finish(self) -> None:
        need(8 * len(self.bits.data) - self.bits.at < 8, "codes after the last symbol")
