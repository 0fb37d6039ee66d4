"""Text to the phonemes the synthesizer knows, by way of espeak-ng."""

from __future__ import annotations

import functools
import subprocess
import tomllib
import unicodedata
from collections.abc import Collection
from pathlib import Path

from pipeline.errors import PipelineError

_TIE = "^"
_TIMEOUT_S = 60


class PhonemizerError(PipelineError):
    """espeak-ng is missing or failed."""


def phonemes(text: str, locale: str, known: Collection[str]) -> str:
    """The phonemes of a text, all of them `known`; others are left out.

    Args:
        text: in the script that espeak-ng reads for the locale.
        locale: such as "en-gb", see phonemes.toml.
        known: the synthesizer's phonemes.

    Raises:
        PhonemizerError: espeak-ng is not installed or failed.
    """
    tables = _tables()
    voice = tables["voices"][locale]
    command = ["espeak-ng", "-q", "--ipa", f"--tie={_TIE}", "-v", voice, "--stdin"]
    try:
        spoken = subprocess.run(
            command, input=text, capture_output=True, text=True, check=True, timeout=_TIMEOUT_S
        )
    except FileNotFoundError as error:
        raise PhonemizerError(
            "espeak-ng is not installed; run `apt-get install espeak-ng`"
        ) from error
    except subprocess.SubprocessError as error:
        raise PhonemizerError(f"espeak-ng failed on {text!r}: {error}") from error
    ipa = ", ".join(line.strip() for line in spoken.stdout.splitlines() if line.strip())
    for table in ("all", locale[:2]):
        for sound, letter in tables.get(table, {}).items():
            ipa = ipa.replace(sound, letter)
    # A letter with a mark that is not known as one letter may be known in two, or without the mark.
    letters = [
        part
        for letter in unicodedata.normalize("NFC", ipa)
        for part in ([letter] if letter in known else unicodedata.normalize("NFD", letter))
    ]
    return "".join(letter for letter in letters if letter in known) + "."


@functools.cache
def _tables() -> dict[str, dict[str, str]]:
    return tomllib.loads(Path(__file__).with_name("phonemes.toml").read_text(encoding="utf-8"))
