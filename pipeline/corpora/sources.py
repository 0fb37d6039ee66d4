"""The four places audio can come from, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.corpora import debian, embedded
from pipeline.corpora.folders import folder_clips, paired_clips
from pipeline.corpora.store import Clip

PUBLISHED = ("embedded", "debian")


def clips_of(
    source: str,
    *,
    cache_dir: Path | None = None,
    clean_dir: Path | None = None,
    noise_dir: Path | None = None,
    noisy_dir: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Clip]:
    """Clips of a source, ready for `prepared.prepare`.

    Args:
        source: "embedded", "debian" (downloads into `cache_dir`), "folders" (`clean_dir` and
            `noise_dir`) or "paired" (`clean_dir` and `noisy_dir`).
        cache_dir: where downloaded and unpacked packages are kept.
        clean_dir: clean speech.
        noise_dir: noise.
        noisy_dir: noisy speech with file names as in `clean_dir`.
        progress: called with packages done and their number ("debian").

    Raises:
        ValueError: no such source, or a folder it needs is not given.
        PackageError, FolderError: see `debian.fetch` and `folders`.
    """
    if source == "embedded":
        return embedded.clips()
    if source == "debian" and cache_dir is not None:
        return debian.fetch(cache_dir.expanduser(), progress=progress)
    if source == "folders" and clean_dir is not None and noise_dir is not None:
        return folder_clips(clean_dir.expanduser(), noise_dir.expanduser())
    if source == "paired" and clean_dir is not None and noisy_dir is not None:
        return paired_clips(clean_dir.expanduser(), noisy_dir.expanduser())
    needs = {
        "debian": "cache_dir",
        "folders": "clean_dir and noise_dir",
        "paired": "clean_dir and noisy_dir",
    }
    if source in needs:
        raise ValueError(f"source {source!r} needs {needs[source]}")
    raise ValueError(f"no source {source!r}; choose embedded, {', '.join(needs)}")
