"""Synthetic voices as clips to train with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.corpora.packages import package_table
from pipeline.corpora.store import Clip
from pipeline.corpora.synthetic.render import Utterance, minutes_of, read_index, render

FOLDER = "voices"
_SOURCE = "kokoro"


def synthetic_clips(
    cache_dir: Path, minutes: float, *, progress: Callable[[int, int], None] | None = None
) -> list[Clip]:
    """Speech of every synthetic voice, at least `minutes` of each, rendered unless it is cached.

    Rendering takes half a minute to four minutes of one core a minute of speech. All clips are for
    training; of some voices every other utterance goes into babble.

    Raises:
        PinnedError, PhonemizerError: the synthesizer cannot be fetched, or espeak-ng is missing.
        ModuleNotFoundError: onnxruntime is not installed.
        SpeechCacheError: the cache is damaged.
    """
    table = package_table()[_SOURCE]
    folder = cache_dir / FOLDER
    utterances = read_index(folder)
    if any(minutes_of(utterances, voice) < minutes for voice in table["voices"]):
        from pipeline.corpora.synthetic.kokoro import Synthesizer, fetch_kokoro

        speaker = Synthesizer(fetch_kokoro(cache_dir))
        utterances = render(speaker, table["voices"], folder, minutes=minutes, progress=progress)
    return [_clip(folder, utterance) for utterance in utterances]


def _clip(folder: Path, utterance: Utterance) -> Clip:
    table = package_table()[_SOURCE]
    number = int(Path(utterance.file).stem)
    in_babble = utterance.voice in table["babble_voices"] and number % 2 == 1
    return Clip(
        path=folder / utterance.file,
        name=f"{_SOURCE}/{utterance.file}",
        source=_SOURCE,
        speaker=f"{_SOURCE}-{utterance.voice}",
        licence=table["licence"],
        kind="voice" if in_babble else "speech",
        role="noise" if in_babble else "speech",
        split="train",
        weight=table["weight"],
    )
