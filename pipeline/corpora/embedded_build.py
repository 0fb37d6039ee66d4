"""Builds the shipped corpus.

python -m pipeline.corpora.embedded_build CACHE_DIR

Only files whose licence allows redistribution are taken: CC BY-SA 3.0, CC BY 3.0, CC0, and the
BSD-like licence of festvox-ru. The result depends on the pinned packages alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from pipeline.cli import command_parser, reported_errors
from pipeline.corpora.audio import RATE_HZ, AudioFileError, load_mono, trim_silence
from pipeline.corpora.debian import PACKAGES, Package, download, fetch, read_text
from pipeline.corpora.embedded import FOLDER, MANIFEST
from pipeline.corpora.store import Clip

VERBATIM = "none"
_G722_BYTES_PER_S = 8000
_MAX_NAME = 40


@dataclass(frozen=True)
class Pick:
    """Which files of a package to ship, and where.

    `shares` are seconds for each split: files are shuffled by the hash of their name and dealt
    to the first split until it is full, then to the next; a file serves one split only.
    """

    package: str
    author: str
    licence: str
    role: str
    kind: str
    speaker: str
    changes: str
    shares: tuple[tuple[str, float], ...]
    pattern: str = ""
    min_s: float = 0.0
    max_s: float = 30.0


PICKS: tuple[Pick, ...] = (
    Pick(
        "asterisk-core-sounds-en-g722",
        "Allison Smith (voice), Digium, Inc.",
        "CC-BY-SA-3.0",
        "speech",
        "speech",
        "allison",
        VERBATIM,
        (("train", 270), ("valid", 40)),
        min_s=1.5,
    ),
    Pick(
        "asterisk-core-sounds-es-g722",
        "Allison Smith (voice), Digium, Inc.",
        "CC-BY-SA-3.0",
        "speech",
        "speech",
        "allison",
        VERBATIM,
        (("train", 270), ("valid", 40)),
        min_s=1.5,
    ),
    Pick(
        "festvox-ru",
        "Nickolay V. Shmyrev",
        "BSD-like",
        "speech",
        "speech",
        "shmyrev",
        "converted losslessly from WAV to FLAC",
        (("train", 190), ("valid", 30)),
        min_s=2.0,
    ),
    Pick(
        "asterisk-core-sounds-it-g722",
        "Carlo Flora (voice), Silvia Petrin (translation)",
        "CC-BY-3.0",
        "speech",
        "speech",
        "carlo",
        VERBATIM,
        (("test", 90),),
        min_s=1.5,
    ),
    Pick(
        "asterisk-core-sounds-fr-g722",
        "June Wallack (voice), Digium, Inc.",
        "CC-BY-SA-3.0",
        "speech",
        "speech",
        "june",
        VERBATIM,
        (("test", 90),),
        min_s=1.5,
    ),
    Pick(
        "ufoai-sound",
        '"Marine" Baklund, Gren, Christian Hoffmann, Slippycurb',
        "CC-BY-SA-3.0",
        "noise",
        "ambience",
        "ufoai",
        VERBATIM,
        (("train", 240), ("valid", 60)),
        pattern=r"(arcticwind|fire|fire0[3-6]|sand-city|smallfire|thunder[1-3]|tv_static|water0[1-3]"
        r"|waterfontain|wind_turbine|alien-ventilation|alien-generator|alienmachinery[1-5]"
        r"|engine_alien_\w+|diesel-\w+|hover-\w+)\.ogg$",
    ),
    Pick(
        "asterisk-moh-opsound-g722",
        "Paul Shuler (Macroform)",
        "CC-BY-SA-3.0",
        "noise",
        "music",
        "macroform",
        "cut to 35 s",
        (("train", 105),),
        pattern=r"/macroform-",
        max_s=35,
    ),
    Pick(
        "asterisk-moh-opsound-g722",
        "Manolo Camp",
        "CC-BY-SA-3.0",
        "noise",
        "music",
        "manolo_camp",
        "cut to 35 s",
        (("valid", 35),),
        pattern=r"/manolo_camp-",
        max_s=35,
    ),
    Pick(
        "asterisk-moh-opsound-g722",
        "Reno Project",
        "CC-BY-SA-3.0",
        "noise",
        "music",
        "reno_project",
        "cut to 35 s",
        (("test", 35),),
        pattern=r"/reno_project-",
        max_s=35,
    ),
    Pick(
        "openttd-opensfx",
        "see titles below",
        "CC-BY-SA-3.0 (the collection; single items CC0, CC-BY-3.0 or CC-BY-SA-3.0, see titles)",
        "noise",
        "ambience",
        "opensfx",
        "mixed down to mono, resampled to 16 kHz, converted to FLAC",
        (("test", 75),),
        pattern=r"Steam_|Ship_horn|plane|jet|train|Mining|crossing|Helicopter|Truck|bus_|Applause"
        r"|Jackhammer|Sawmill|[Ww]ind|Chainsaw|tree",
        min_s=1.0,
    ),
)

_ATTRIBUTION_HEAD = """# Attribution

The recordings in this folder are not covered by the licence of the code. Each keeps the licence
of its source, listed here; the full texts are in `LICENSES/`, which holds the copyright file of
each Debian package as it was distributed. `manifest.json` lists
every file.

| package | version | author | licence | split: files, seconds | changes |
|---|---|---|---|---|---|
"""

_TITLES_HEAD = """
## Titles of the OpenSFX recordings, with authors, editors and licence of each

"""


def build(cache_dir: Path, folder: Path = FOLDER) -> int:
    """Write the shipped corpus into `folder`, whole or not at all; returns its size in bytes."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    packages = {package.name: package for package in PACKAGES}
    used = tuple(packages[name] for name in dict.fromkeys(pick.package for pick in PICKS))
    clips = fetch(cache_dir, used)
    entries: list[dict[str, str | float]] = []
    rows: list[str] = []
    for pick in PICKS:
        chosen = list(_choose(pick, clips))
        written = [_ship(partial, pick, clip, split, seconds) for clip, split, seconds in chosen]
        entries += written
        version = packages[pick.package].version
        counts = "; ".join(_count(written, split) for split, _ in pick.shares)
        rows.append(
            f"| {pick.package} | {version} | {pick.author} | {pick.licence} | {counts} "
            f"| {pick.changes} |\n"
        )
    manifest = {"format": 1, "files": entries}
    (partial / MANIFEST).write_text(json.dumps(manifest, indent=0), encoding="utf-8")
    titles = [f"- {e['title']}\n" for e in entries if e["package"] == "openttd-opensfx"]
    attribution = "".join([_ATTRIBUTION_HEAD, *rows, _TITLES_HEAD, *titles])
    (partial / "ATTRIBUTION.md").write_text(attribution, encoding="utf-8")
    _write_licences(partial / "LICENSES", used, cache_dir)
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(partial, folder)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _choose(pick: Pick, clips: Sequence[Clip]) -> Iterator[tuple[Clip, str, float]]:
    """(clip, split, seconds) of the files a pick takes."""
    by_stem = {
        clip.path.stem: clip
        for clip in clips
        if clip.source == pick.package and re.search(pick.pattern, clip.name)
    }
    candidates = sorted(
        by_stem.values(), key=lambda clip: hashlib.sha256(clip.name.encode()).digest()
    )
    shares = iter(pick.shares)
    split, left_s = next(shares)
    for clip in candidates:
        try:
            samples = trim_silence(load_mono(clip.path))
        except AudioFileError:
            continue
        seconds = min(samples.size / RATE_HZ, pick.max_s)
        if seconds < pick.min_s:
            continue
        yield clip, split, seconds
        left_s -= seconds
        if left_s <= 0:
            following = next(shares, None)
            if following is None:
                return
            split, left_s = following


def _ship(
    folder: Path, pick: Pick, clip: Clip, split: str, seconds: float
) -> dict[str, str | float]:
    name = clip.path.stem[:_MAX_NAME].rstrip("_") + clip.path.suffix
    target = folder / split / pick.role / pick.package / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if clip.path.suffix == ".g722":
        data = clip.path.read_bytes()
        cut = round(pick.max_s * _G722_BYTES_PER_S)
        target.write_bytes(data[:cut])
    elif clip.path.suffix == ".wav":
        target = target.with_suffix(".flac")
        pcm = np.round(load_mono(clip.path) * 32768).clip(-32768, 32767).astype(np.int16)
        soundfile.write(target, pcm, RATE_HZ, subtype="PCM_16")
    else:
        shutil.copyfile(clip.path, target)
    return {
        "path": target.relative_to(folder).as_posix(),
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        "seconds": round(seconds, 2),
        "title": clip.path.stem,
        "package": pick.package,
        "author": pick.author,
        "licence": pick.licence,
        "changes": pick.changes,
        "speaker": pick.speaker,
        "kind": pick.kind,
        "role": pick.role,
        "split": split,
    }


def _count(entries: Sequence[dict[str, str | float]], split: str) -> str:
    seconds = [float(entry["seconds"]) for entry in entries if entry["split"] == split]
    return f"{split}: {len(seconds)}, {sum(seconds):.0f} s"


def _write_licences(folder: Path, packages: Sequence[Package], cache_dir: Path) -> None:
    folder.mkdir()
    for package in packages:
        text = read_text(download(package, cache_dir / "deb"), r"/copyright$")
        (folder / f"{package.name}.txt").write_text(text, encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = command_parser("pipeline.corpora.embedded_build", __doc__)
    parser.add_argument("cache_dir", type=Path, help="where packages are downloaded and unpacked")
    options = parser.parse_args()
    with reported_errors():
        size_bytes = build(options.cache_dir)
    print(f"{FOLDER}: {size_bytes / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
