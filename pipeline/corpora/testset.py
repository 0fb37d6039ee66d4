"""Fixed mixtures, listed piece by piece in a small JSON file so that anybody rebuilds the same.

A list names stored clips, offsets and gains, and carries a hash of every clip it uses: if other
decoders or package versions gave other samples, loading says so instead of measuring something
else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.corpora.audio import RATE_HZ, active_power, to_db
from pipeline.corpora.store import Store, StoredClip
from pipeline.errors import InputError

SPEECH_DBFS = -26.0
PEAK = 0.95
_QUIET_DB = 30.0  # a piece this far below its clip's level is a pause
_DRAWS = 20
LISTS_DIR = Path(__file__).parent / "mixtures"
_FORMAT = 1
_HASH_DIGITS = 16


class MixtureListError(InputError):
    """A mixture list that is malformed or does not fit the stores."""


@dataclass(frozen=True)
class Piece:
    """A cut of a stored clip: `length` samples from `offset` on, put at `position`."""

    clip: str
    offset: int
    length: int
    position: int
    gain_db: float


@dataclass(frozen=True)
class MixtureRecipe:
    """How one mixture is made; pieces may overlap (babble) and are summed."""

    name: str
    snr_db: float
    noise_kind: str
    speech: tuple[Piece, ...]
    noise: tuple[Piece, ...]


@dataclass(frozen=True)
class MixtureList:
    """Recipes of one length, and the hash of every clip they use."""

    samples: int
    recipes: tuple[MixtureRecipe, ...]
    clip_hashes: Mapping[str, str]


@dataclass(frozen=True)
class Mixture:
    """A rebuilt mixture; `noisy` and `clean` are float32 [samples] at 16 kHz."""

    name: str
    noisy: np.ndarray
    clean: np.ndarray
    snr_db: float
    noise_kind: str


def load_mixtures(list_path: Path | str, speech: Store, noise: Store) -> Iterator[Mixture]:
    """Rebuild the mixtures of a list, in its order.

    Speech lies at -26 dBFS over active frames; SNR is that power over the power of the noise in
    the whole mixture; where the mixture would exceed 0.95, both are scaled down alike.

    Raises:
        MixtureListError: the list is malformed, or a clip is missing from the stores or differs.
    """
    mixture_list = read_list(Path(list_path))
    stores = (_by_name(speech), _by_name(noise))
    for recipe in mixture_list.recipes:
        for store, index, pieces in (
            (speech, stores[0], recipe.speech),
            (noise, stores[1], recipe.noise),
        ):
            for piece in pieces:
                _check_clip(Path(list_path), store, index, piece, mixture_list.clip_hashes)
        clean = _assemble(speech, stores[0], recipe.speech, mixture_list.samples)
        noise_part = _assemble(noise, stores[1], recipe.noise, mixture_list.samples)
        yield _mix(recipe, clean, noise_part)


def read_list(path: Path) -> MixtureList:
    """Read and check a mixture list.

    Raises:
        MixtureListError: names the file and what is wrong with it.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != _FORMAT or data["rate_hz"] != RATE_HZ:
            raise MixtureListError(f"{path}: expected format {_FORMAT} at {RATE_HZ} Hz")
        recipes = tuple(_recipe(entry) for entry in data["mixtures"])
        result = MixtureList(int(data["samples"]), recipes, dict(data["clip_hashes"]))
    except FileNotFoundError as error:
        raise MixtureListError(f"{path}: there is no such mixture list") from error
    except MixtureListError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise MixtureListError(f"{path}: not a mixture list ({error!r})") from error
    for recipe in recipes:
        for piece in recipe.speech + recipe.noise:
            inside = min(piece.offset, piece.position) >= 0 < piece.length
            if not inside or piece.position + piece.length > result.samples:
                raise MixtureListError(f"{path}: {recipe.name}: a piece lies outside the mixture")
    return result


def write_list(mixture_list: MixtureList, path: Path) -> None:
    """Write a list, one mixture a line."""
    lines = ",\n".join(json.dumps(asdict(r), ensure_ascii=False) for r in mixture_list.recipes)
    hashes = ",\n".join(
        f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(digest)}"
        for name, digest in sorted(mixture_list.clip_hashes.items())
    )
    text = (
        f'{{"format": {_FORMAT}, "rate_hz": {RATE_HZ}, "samples": {mixture_list.samples},\n'
        f'"mixtures": [\n{lines}\n],\n"clip_hashes": {{\n{hashes}\n}}}}\n'
    )
    partial = path.with_suffix(".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def draw_list(
    speech: Store,
    noise: Store,
    *,
    prefix: str,
    snrs_db: Sequence[float],
    kinds: Sequence[str],
    samples: int,
    seed: int,
) -> MixtureList:
    """Draw one mixture for each SNR and each entry of `kinds` (repeat a kind to weight it).

    Pieces are cut where there is sound; a cut that falls into a pause is drawn again.

    The kind "babble" sums four to six clips of kind "voice", different speakers where there are.
    """
    rng = np.random.default_rng(seed)
    recipes: list[MixtureRecipe] = []
    speakers = sorted({clip.speaker for clip in speech.clips})
    for snr_db in snrs_db:
        for kind in kinds:
            number = len(recipes)
            speaker = speakers[number % len(speakers)]
            lines = [clip for clip in speech.clips if clip.speaker == speaker]
            recipes.append(
                MixtureRecipe(
                    name=f"{prefix}-{number:03d}",
                    snr_db=float(snr_db),
                    noise_kind=kind,
                    speech=_sequence(speech, lines, rng, samples, pause_s=(0.1, 0.3)),
                    noise=_noise_pieces(noise, kind, rng, samples),
                )
            )
    indexes = (_by_name(speech), _by_name(noise))
    hashes = {
        piece.clip: _clip_hash(store, index[piece.clip])
        for recipe in recipes
        for store, index, pieces in (
            (speech, indexes[0], recipe.speech),
            (noise, indexes[1], recipe.noise),
        )
        for piece in pieces
    }
    return MixtureList(samples, tuple(recipes), hashes)


def _noise_pieces(
    noise: Store, kind: str, rng: np.random.Generator, samples: int
) -> tuple[Piece, ...]:
    if kind != "babble":
        clips = [clip for clip in noise.clips if clip.kind == kind]
        return _sequence(noise, clips, rng, samples, pause_s=(0.0, 0.0), leveled=True)
    voices = [clip for clip in noise.clips if clip.kind == "voice"]
    speakers = sorted({clip.speaker for clip in voices})
    pieces: tuple[Piece, ...] = ()
    order = rng.permutation(speakers)
    for number in range(rng.integers(4, 7)):
        speaker = order[number % len(order)]
        lines = [clip for clip in voices if clip.speaker == speaker]
        pieces += _sequence(noise, lines, rng, samples, pause_s=(0.0, 0.2), leveled=True)
    return pieces


def _sequence(
    store: Store,
    clips: Sequence[StoredClip],
    rng: np.random.Generator,
    samples: int,
    *,
    pause_s: tuple[float, float],
    leveled: bool = False,
) -> tuple[Piece, ...]:
    """Random clips one after the other until under a quarter of a second is left."""
    pieces: list[Piece] = []
    position = 0
    while samples - position >= RATE_HZ // 4:
        clip = clips[int(rng.integers(len(clips)))]
        length = min(clip.length, samples - position)
        offset = _offset_with_sound(store, clip, length, rng)
        gain_db = round(SPEECH_DBFS - clip.level_dbfs, 2) if leveled else 0.0
        pieces.append(Piece(clip.name, offset, length, position, gain_db))
        position += length + int(rng.uniform(*pause_s) * RATE_HZ)
    return tuple(pieces)


def _offset_with_sound(
    store: Store, clip: StoredClip, length: int, rng: np.random.Generator
) -> int:
    """Where to cut `length` samples out of a clip: anywhere but in a pause."""
    for _ in range(_DRAWS):
        offset = int(rng.integers(0, clip.length - length + 1))
        power = float(np.mean(np.square(store.read(clip.start + offset, length))))
        if to_db(power) >= clip.level_dbfs - _QUIET_DB:
            return offset
    loudest = int(np.argmax(np.abs(store.read_clip(clip))))
    return min(max(loudest - length // 2, 0), clip.length - length)


def _mix(recipe: MixtureRecipe, clean: np.ndarray, noise: np.ndarray) -> Mixture:
    """float64 [samples] each, scaled to level, SNR and peak; rounded to float32 at the end."""
    clean = clean * np.sqrt(10 ** (SPEECH_DBFS / 10) / active_power(clean))
    noise_power = 10 ** ((SPEECH_DBFS - recipe.snr_db) / 10)
    noisy = clean + noise * np.sqrt(noise_power / np.mean(noise**2))
    gain = min(1.0, PEAK / float(np.abs(noisy).max()))
    return Mixture(
        name=recipe.name,
        noisy=(noisy * gain).astype(np.float32),
        clean=(clean * gain).astype(np.float32),
        snr_db=recipe.snr_db,
        noise_kind=recipe.noise_kind,
    )


def _assemble(
    store: Store, index: Mapping[str, StoredClip], pieces: Sequence[Piece], samples: int
) -> np.ndarray:
    total = np.zeros(samples)
    for piece in pieces:
        audio = store.read(index[piece.clip].start + piece.offset, piece.length)
        total[piece.position : piece.position + piece.length] += audio * 10 ** (piece.gain_db / 20)
    return total


def _check_clip(
    path: Path,
    store: Store,
    index: Mapping[str, StoredClip],
    piece: Piece,
    hashes: Mapping[str, str],
) -> None:
    clip = index.get(piece.clip)
    if clip is None:
        raise MixtureListError(
            f"{path}: clip {piece.clip!r} is not in {store.folder}; prepare the corpus the list "
            "was made for"
        )
    if _clip_hash(store, clip) != hashes.get(piece.clip):
        raise MixtureListError(
            f"{path}: clip {piece.clip!r} in {store.folder} has other samples than the list was "
            "made for; use the pinned package and library versions"
        )


def _clip_hash(store: Store, clip: StoredClip) -> str:
    stored = np.round(store.read_clip(clip) * 32768).astype("<i2")
    return hashlib.sha256(stored.tobytes()).hexdigest()[:_HASH_DIGITS]


def _by_name(store: Store) -> dict[str, StoredClip]:
    return {clip.name: clip for clip in store.clips}


def _recipe(entry: Mapping[str, Any]) -> MixtureRecipe:
    return MixtureRecipe(
        name=str(entry["name"]),
        snr_db=float(entry["snr_db"]),
        noise_kind=str(entry["noise_kind"]),
        speech=tuple(Piece(**piece) for piece in entry["speech"]),
        noise=tuple(Piece(**piece) for piece in entry["noise"]),
    )
