"""What a source of audio offers, before anything is decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.corpora.audio import AudioFileError
from pipeline.corpora.store import Clip


@dataclass(frozen=True)
class Division:
    """Clips with their part and speaker, and what is worth telling about how they came by them."""

    clips: tuple[Clip, ...]
    notes: tuple[str, ...] = ()


def as_given(clips: Sequence[Clip]) -> Division:
    """Clips whose corpus has decided part and speaker of each."""
    return Division(tuple(clips))


@dataclass(frozen=True)
class Material:
    """The recordings of a source.

    Attributes:
        clips: of role "speech" and "noise", or of "speech" and "noisy" where pairs share a name.
        left_out: every file of the source that is no clip, with the reason.
        divide: gives the usable clips of one role (of pairs: the noisy ones) part and speaker;
            called once they have been decoded.
        published: name of the mixture lists that come with the package for this material; its
            samples are pinned by them. None where lists are drawn.
    """

    clips: tuple[Clip, ...]
    left_out: tuple[AudioFileError, ...] = ()
    divide: Callable[[Sequence[Clip]], Division] = as_given
    published: str | None = None
