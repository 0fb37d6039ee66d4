"""Section `data`: where audio comes from, and what each source needs."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.section import Section


class Data(Section):
    """Where audio comes from."""

    source: Literal["embedded", "debian", "folders", "paired"] = "embedded"
    """embedded: shipped with the package; debian: larger corpus from Debian packages;
    folders: your clean and noise folders; paired: your clean/noisy pairs."""
    cache_dir: Path = Path("~/.cache/sparse-speech-enhancer")
    """Downloads are kept here (source = "debian")."""
    clean_dir: Path | None = None
    """Folder of clean speech (source = "folders" or "paired")."""
    noise_dir: Path | None = None
    """Folder of noise (source = "folders")."""
    noisy_dir: Path | None = None
    """Folder of noisy speech, files named as corpora do (source = "paired"); may be clean_dir."""
    # Left out of files and keys where unset: those from before there was such a thing stay valid.
    synthetic_minutes: Annotated[
        float, Field(ge=0.0, le=600.0, exclude_if=lambda minutes: not minutes)
    ] = 0.0
    """Speech of each of 54 synthetic voices to train with as well, in minutes; rendered once into
    cache_dir (needs espeak-ng, npm and the `peers` extra). 0: none."""
    more_packages: Annotated[bool, Field(exclude_if=lambda wanted: not wanted)] = False
    """More noise and voices to train with, out of packages of games; 5 GB to download
    (source = "debian")."""
    extra_speech_dirs: Annotated[tuple[Path, ...], Field(exclude_if=lambda dirs: not dirs)] = ()
    """Folders of clean speech to train with as well."""
    extra_noise_dirs: Annotated[tuple[Path, ...], Field(exclude_if=lambda dirs: not dirs)] = ()
    """Folders of noise to train with as well."""

    @model_validator(mode="after")
    def _folders_fit_the_source(self) -> "Data":
        used = {"folders": ("clean_dir", "noise_dir"), "paired": ("clean_dir", "noisy_dir")}
        needed = used.get(self.source, ())
        for name in ("clean_dir", "noise_dir", "noisy_dir"):
            given = getattr(self, name) is not None
            if name in needed and not given:
                raise ValueError(f'source = "{self.source}" needs data.{name}')
            if given and name not in needed:
                users = " or ".join(f'"{source}"' for source in used if name in used[source])
                raise ValueError(
                    f'source = "{self.source}" does not use data.{name}; leave it out, or give '
                    f"source = {users}"
                )
        return self

    @model_validator(mode="after")
    def _packages_come_with_their_source(self) -> "Data":
        if self.more_packages and self.source != "debian":
            raise ValueError(
                f'source = "{self.source}" does not use data.more_packages; leave it out, or give '
                'source = "debian"'
            )
        return self

    @model_validator(mode="after")
    def _pairs_are_complete(self) -> "Data":
        for name in ("synthetic_minutes", "extra_speech_dirs", "extra_noise_dirs"):
            if self.source == "paired" and getattr(self, name):
                raise ValueError(
                    f'source = "paired" mixes nothing, so it does not use data.{name}; leave it out'
                )
        return self
