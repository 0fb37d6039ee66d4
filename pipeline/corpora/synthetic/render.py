"""Synthetic speech, rendered once into a cache that is filled piece by piece."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Protocol

import numpy as np
import soundfile
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.artefacts import write_atomically
from pipeline.corpora.audio import RATE_HZ, active_level_dbfs
from pipeline.corpora.synthetic.sentences import draw_text
from pipeline.errors import InputError

INDEX_NAME = "index.json"
_SEED = 54
_SPEEDS = (0.85, 1.2)
_LEVELS_DBFS = (-32.0, -16.0)
_PEAK = 0.9
# The first letter of a voice says its language. Voices of languages that only valid or test speak
# (French, Italian) read another: no language is heard on both sides.
_LOCALES = {
    "a": "en-us", "b": "en-gb", "e": "es", "f": "pt", "h": "hi", "i": "es", "j": "ja", "p": "pt",
    "z": "zh",
}  # fmt: skip


class SpeechCacheError(InputError):
    """A cache of synthetic speech whose index is damaged."""


class Speaker(Protocol):
    """What turns a text into float32 [samples] at 16 kHz."""

    def speak(self, text: str, voice: str, locale: str, *, speed: float) -> np.ndarray:
        """Speech of one voice."""
        ...


class Utterance(BaseModel):
    """One rendered file; `file` is relative to the cache folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    file: Annotated[str, Field(pattern=r"^[a-z_]+/\d{4,}\.flac$")]
    voice: str
    locale: str
    text: str
    speed: float
    duration_s: Annotated[float, Field(gt=0)]


class _Index(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: Annotated[int, Field(ge=1, le=1)] = 1
    utterances: list[Utterance]


def read_index(folder: Path) -> list[Utterance]:
    """What a cache folder holds; nothing where there is none yet.

    Raises:
        SpeechCacheError: the index is damaged.
    """
    path = folder / INDEX_NAME
    if not path.exists():
        return []
    try:
        return _Index.model_validate_json(path.read_bytes()).utterances
    except ValidationError as error:
        raise SpeechCacheError(
            f"{path}: is damaged ({error.errors()[0]['msg']}); delete the folder to render it again"
        ) from error


def minutes_of(utterances: Sequence[Utterance], voice: str) -> float:
    """How much of a voice there is."""
    return sum(u.duration_s for u in utterances if u.voice == voice) / 60


def render(
    speaker: Speaker,
    voices: Sequence[str],
    folder: Path,
    *,
    minutes: float,
    progress: Callable[[int, int], None] | None = None,
) -> list[Utterance]:
    """Add speech to a cache folder until every voice has `minutes`; what is there is kept.

    The voice that has least so far speaks next, so a cache that was filled for any time is in
    balance, and a rendering that was killed goes on where it was.

    Args:
        speaker: the synthesizer.
        voices: their names; the first letter tells the language.
        folder: the cache; each utterance is a file, and the index names those that are whole.
        minutes: of each voice.
        progress: gets minutes done and minutes in all.

    Returns:
        All utterances of the cache.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = read_index(folder)
    spoken = {voice: minutes_of(done, voice) for voice in voices}
    while min(spoken.values()) < minutes:
        voice = min(voices, key=lambda name: spoken[name])
        number = sum(utterance.voice == voice for utterance in done)
        done.append(_render_one(speaker, voice, number, folder))
        write_atomically(
            folder / INDEX_NAME, _Index(utterances=done).model_dump_json(indent=1) + "\n"
        )
        spoken[voice] += done[-1].duration_s / 60
        if progress:
            progress(round(sum(spoken.values())), round(minutes * len(voices)))
    return done


def _render_one(speaker: Speaker, voice: str, number: int, folder: Path) -> Utterance:
    """Utterance `number` of a voice: what is said, and how fast and loud, is a function of both."""
    rng = np.random.default_rng([_SEED, number, *voice.encode()])
    locale = _LOCALES[voice[0]]
    text = draw_text(locale[:2], rng)
    speed = round(float(rng.uniform(*_SPEEDS)), 3)
    speech = speaker.speak(text, voice, locale, speed=speed)
    gain = 10 ** ((rng.uniform(*_LEVELS_DBFS) - active_level_dbfs(speech)) / 20)
    speech = speech * min(gain, _PEAK / float(np.abs(speech).max(initial=1e-9)))
    name = f"{voice}/{number:04d}.flac"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    soundfile.write(partial, speech, RATE_HZ, subtype="PCM_16", format="FLAC")
    os.replace(partial, path)
    return Utterance(
        file=name,
        voice=voice,
        locale=locale,
        text=text,
        speed=speed,
        duration_s=round(speech.size / RATE_HZ, 3),
    )
