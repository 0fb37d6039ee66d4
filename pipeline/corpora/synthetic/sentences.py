"""What synthetic voices read: sentences of our own making, drawn from patterns and words."""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path

import numpy as np

_TABLE = Path(__file__).with_name("sentences.toml")
# About six seconds of speech; the synthesizer sounds hurried below half of this.
_MIN_CHARACTERS = 90
_LARGEST_NUMBER = 3000


def draw_text(language: str, rng: np.random.Generator) -> str:
    """One to a few random sentences of a language, about six seconds of speech.

    Raises:
        KeyError: no such language.
    """
    patterns, words = _table()[language]["patterns"], _table()[language]["words"]

    def fill(slot: re.Match[str]) -> str:
        if slot[1] == "number":
            return str(rng.integers(2, _LARGEST_NUMBER))
        choices = words[slot[1]]
        return str(choices[rng.integers(len(choices))])

    text = ""
    while len(text) < _MIN_CHARACTERS:
        sentence = re.sub(r"\{(\w+)\}", fill, patterns[rng.integers(len(patterns))])
        text += sentence[:1].upper() + sentence[1:] + " "
    return text.strip()


@functools.cache
def _table() -> dict:
    return tomllib.loads(_TABLE.read_text(encoding="utf-8"))
