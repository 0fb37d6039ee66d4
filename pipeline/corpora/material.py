"""What a source of audio offers, before anything is decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pipeline.corpora.audio import AudioFileError
from pipeline.corpora.listing import FolderError
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

    def with_training(self, clips: Sequence[Clip], left_out: Sequence[AudioFileError]) -> Material:
        """This material and more to train with: clips whose part and speaker are decided.

        Raises:
            FolderError: a clip is named as another one.
        """
        added = {clip.name for clip in clips}
        alike = added & {clip.name for clip in self.clips}
        if alike or len(added) < len(clips):
            names = sorted(alike or [clip.name for clip in clips])
            raise FolderError(
                f"{names[0]}: two folders of one name hold recordings of one name; rename a folder"
            )

        def divide(usable: Sequence[Clip]) -> Division:
            division = self.divide([clip for clip in usable if clip.name not in added])
            kept = tuple(clip for clip in usable if clip.name in added)
            held_out = {clip.speaker for clip in division.clips if clip.split != "train"}
            shared = sorted(held_out & {clip.speaker for clip in kept})
            notes = division.notes
            if shared:
                notes += (
                    f"{len(shared)} speaker(s) of what is added to train with are in valid or test "
                    f"too, first {shared[0]}",
                )
            return Division((*division.clips, *kept), notes)

        return replace(
            self,
            clips=(*self.clips, *clips),
            left_out=(*self.left_out, *left_out),
            divide=divide,
        )
