"""
Random input for everything that is parsed: generated, mutated from what is valid, and seeded, so that a failure repeats.

It is plain :mod:`random` and not Hypothesis, which takes a millisecond for each example and shrinks what needs no shrinking.
"""

import json
import random
import string
from collections.abc import Callable, Sequence

ODD = ["", "\x00", "\r\n", "\ud800", "\U0001f98a", "é", "\u2028", "%00", "%0d%0a", "..", "//", "\\", "'", '"', "<", "{}",
       "-1", "9" * 40, "1e999", "NaN", "true", "null", "=", ";", ",", "&", "a" * 3_000]  # fmt: skip
ODD_BYTES = [
    b"",
    b"\x00",
    b"\r\n",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"=",
    b";",
    b",",
    b".",
    b'"',
    b"%00",
    b"9" * 40,
    b"\xc3",
]


class Fuzzer:
    """Makes random input. The same seed makes the same."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self) -> str:
        """Return a text: odd, printable or of any characters."""
        pick = self.random.random()
        if pick < 0.5:
            return self.random.choice(ODD)
        if pick < 0.8:
            return "".join(self.random.choices(string.printable, k=self.random.randrange(40)))
        return "".join(chr(self.random.randrange(0x110000)) for _ in range(self.random.randrange(20)))

    def mutated(self, valid: bytes) -> bytes:
        """Return bytes that differ from valid ones in a few places."""
        made = bytearray(valid)
        for _ in range(self.random.randrange(1, 4)):
            at = self.random.randrange(len(made) + 1)
            match self.random.randrange(5):
                case 0:
                    made[at:at] = self.random.choice(ODD_BYTES)
                case 1:
                    del made[at : at + self.random.randrange(1, 20)]
                case 2:
                    made[at : at + 1] = bytes([self.random.randrange(256)])
                case 3:
                    made[at:at] = made[: self.random.randrange(len(made) + 1)]
                case 4:
                    made = made[:at]
        return bytes(made)

    def value(self, depth: int = 0) -> object:
        """Return a JSON value."""
        makers: Sequence[Callable[[], object]] = (
            self.text,
            lambda: self.random.choice(
                [None, True, False, 0, -1, 0.5, 1e308, 2**31, 2**63, 2**64, -(2**63) - 1, 10**300]
            ),
            lambda: [self.value(depth + 1) for _ in range(self.random.randrange(4))],
            lambda: {self.text(): self.value(depth + 1) for _ in range(self.random.randrange(4))},
        )
        return self.random.choice(makers[:2] if depth > 3 else makers)()

    def like(self, example: object) -> object:
        """Return a JSON value that has the shape of an example, with a few other values in it."""
        if self.random.random() < 0.15:
            return self.value()
        if isinstance(example, dict):
            made = {name: self.like(value) for name, value in example.items() if self.random.random() > 0.05}
            if self.random.random() < 0.05:
                made[self.text()] = self.value()
            return made
        if isinstance(example, list):
            return [self.like(value) for value in example]
        return example

    def json(self, example: object) -> bytes:
        """Return a JSON body like an example, or one that is not quite JSON."""
        body = json.dumps(self.like(example)).encode("utf-8", "surrogatepass")
        return self.mutated(body) if self.random.random() < 0.2 else body
