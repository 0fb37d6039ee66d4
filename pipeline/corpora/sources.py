"""The places audio can come from, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.corpora import debian, embedded
from pipeline.corpora.debian import MORE_PACKAGES, PACKAGES
from pipeline.corpora.folders import folder_material
from pipeline.corpora.material import Material
from pipeline.corpora.pairing import paired_material
from pipeline.errors import InputError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Source:
    """A place audio comes from: `needs` are the folders `open` takes, in this order.

    `open` also gets a function to call with packages done and their number, if it is to report.
    """

    needs: tuple[str, ...]
    open: Callable[..., Material]


SOURCES: Mapping[str, Source] = {
    "embedded": Source(
        (), lambda progress: Material(tuple(embedded.clips()), published="embedded")
    ),
    "debian": Source(
        ("cache_dir",),
        lambda cache_dir, progress, packages=PACKAGES: Material(
            tuple(debian.fetch(cache_dir, packages, progress=progress)), published="debian"
        ),
    ),
    "folders": Source(
        ("clean_dir", "noise_dir"), lambda clean, noise, progress: folder_material(clean, noise)
    ),
    "paired": Source(
        ("clean_dir", "noisy_dir"), lambda clean, noisy, progress: paired_material(clean, noisy)
    ),
}


def material_of(
    source: str,
    *,
    more_packages: bool = False,
    progress: Progress | None = None,
    **folders: Path | None,
) -> Material:
    """What a source offers, ready for `prepared.prepare`.

    Args:
        source: one of `SOURCES`.
        more_packages: with `MORE_PACKAGES` to train with ("debian").
        progress: called with packages done and their number ("debian").
        folders: by name: `cache_dir`, where downloaded and unpacked packages are kept; `clean_dir`
            of clean speech; `noise_dir`; `noisy_dir` of noisy speech. Those a source does not need
            may be given.

    Raises:
        InputError: no such source, a folder it needs is not given, or `more_packages` is of no use.
        PackageError, FolderError: see `debian.fetch`, `folders` and `pairing`.
    """
    if source not in SOURCES:
        raise InputError(f"no source {source!r}; choose {', '.join(SOURCES)}")
    needed = [folders.get(name) for name in SOURCES[source].needs]
    given = [folder.expanduser() for folder in needed if folder is not None]
    if len(given) < len(needed):
        raise InputError(f"source {source!r} needs {' and '.join(SOURCES[source].needs)}")
    if not more_packages:
        return SOURCES[source].open(*given, progress)
    if source != "debian":
        raise InputError(f'source {source!r} has no more packages; choose "debian"')
    return SOURCES[source].open(*given, progress, PACKAGES + MORE_PACKAGES)
