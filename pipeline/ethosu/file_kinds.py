"""Says what a file is that is not the TFLite model somebody expected, and what to do with it."""

from __future__ import annotations

import io
import struct
import zipfile

from .errors import ModelError

MALFORMED = (
    struct.error, AttributeError, IndexError, ValueError, TypeError, KeyError, OverflowError,
    MemoryError,
)  # fmt: skip
"""What reading a damaged flatbuffer raises."""
_TFLITE_IDENTIFIER, _TFLITE_AT = b"TFL3", 4
_CONVERT = "convert it to an integer .tflite file first (tf.lite.TFLiteConverter)"
_FOREIGN = (
    (0, b"\x89HDF\r\n\x1a\n", f"is a Keras model in HDF5; {_CONVERT}"),
    (0, b"\x93NUMPY", "is a NumPy array, not a model"),
    (0, b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (0, b"version https://git-lfs", "is a Git LFS pointer, not the file itself: git lfs pull"),
    (4, b"ET1", "is an ExecuTorch program; only TFLite files are read"),
)
_MAX_LISTED = 5


def damage(error: Exception) -> ModelError:
    """What to raise for one of `MALFORMED`."""
    outside = isinstance(error, struct.error | IndexError)
    words = "an offset in it leads outside" if outside else f"{type(error).__name__}: {error}"
    return ModelError(f"damaged model file: {' '.join(words.split())}")


def require_tflite(data: bytes) -> None:
    """Accepts what starts like a TFLite file.

    Raises:
        ModelError: saying what the bytes are instead and what to do with them.
    """
    if not data:
        raise ModelError("is empty")
    if data[_TFLITE_AT : _TFLITE_AT + len(_TFLITE_IDENTIFIER)] == _TFLITE_IDENTIFIER:
        return
    if data[:2] == b"PK":
        raise ModelError(_archive(data))
    for offset, magic, words in _FOREIGN:
        if data[offset : offset + len(magic)] == magic:
            raise ModelError(words)
    raise ModelError("is not a TFLite file: identifier TFL3 is missing")


def archive_names(data: bytes) -> list[str]:
    """Names of the files in a zip archive.

    Raises:
        ModelError: the archive is damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise ModelError(f"is a damaged zip archive: {error}") from error


def _archive(data: bytes) -> str:
    names = archive_names(data)
    if "model.weights.h5" in names or {"config.json", "metadata.json"} <= set(names):
        return f"is a Keras model (.keras); {_CONVERT}"
    if "scratch_size.npy" in names:
        return "is raw output of Vela; the uncompiled .tflite file is needed here"
    if any(name.endswith("data.pkl") for name in names):
        return "is a PyTorch file; only TFLite files are read"
    listed = ", ".join(names[:_MAX_LISTED]) + (", ..." if len(names) > _MAX_LISTED else "")
    return f"is a zip archive of {len(names)} files ({listed}); unpack the .tflite file first"
