"""Pictures and sound as addresses that need no network."""

import base64
import io

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image


def png(image: Image.Image) -> str:
    """An image as a PNG data URI."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return _data_uri(buffer.getvalue(), "image/png")


def flac(signal: NDArray[np.float32], rate_hz: int) -> str:
    """Float ``[samples]`` in [-1, 1] as a lossless 16-bit FLAC data URI."""
    buffer = io.BytesIO()
    soundfile.write(buffer, signal, rate_hz, format="FLAC", subtype="PCM_16")
    return _data_uri(buffer.getvalue(), "audio/flac")


def _data_uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
