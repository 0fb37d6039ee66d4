"""Spectrograms and sparsity maps show what is in the signal and in the masks."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from pipeline.dsp import FRAME_SAMPLES, RATE_HZ
from pipeline.reporting.listening import Clip, Track, spectrograms
from pipeline.reporting.sparsity import PATCH, sparsity_map


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def levels(signals: list[np.ndarray]) -> list[np.ndarray]:
    """Colour index ``[bins, frames]`` of each signal, lowest frequency first."""
    tracks = tuple(Track(str(k), s.astype(np.float32), None) for k, s in enumerate(signals))
    images = [opened(uri) for uri in spectrograms(Clip("clip", "", (), tracks))]
    assert {image.mode for image in images} == {"P"}
    return [np.asarray(image)[::-1] for image in images]


def test_tone_is_brightest_at_its_frequency() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 1000 / RATE_HZ * np.arange(RATE_HZ))
    (index,) = levels([tone])
    assert index.shape[0] == FRAME_SAMPLES // 2 + 1
    assert (index[:, 5:-5].argmax(axis=0) == 1000 * FRAME_SAMPLES // RATE_HZ).all()
    assert index.max() == 63 and index.min() == 0


def test_tracks_share_one_scale() -> None:
    noise = 0.3 * np.random.default_rng(0).standard_normal(RATE_HZ)
    loud, soft, silent = levels([noise, 0.1 * noise, 0 * noise])
    step_db = 70 / 63
    fall = loud.astype(int) - soft
    assert abs(np.median(fall[soft > 0]) * step_db - 20) < step_db
    assert not silent.any()


def test_opacity_is_the_share_kept_in_a_patch() -> None:
    kept = np.zeros((4 * PATCH, 6 * PATCH), bool)
    kept[:PATCH, :PATCH] = True
    kept[PATCH : 2 * PATCH, : PATCH // 2] = True
    picture = sparsity_map("gates", kept)
    opacity = np.asarray(opened(picture.image))[..., 3]
    expected = np.zeros((4, 6))
    expected[0, 0], expected[1, 0] = 1.0, 0.5
    np.testing.assert_allclose(
        opacity / 255, np.clip(expected / picture.full_share, 0, 1), atol=1 / 255
    )
    assert (picture.inputs, picture.outputs) == kept.shape
    assert picture.kept_share == kept.mean()


def test_smaller_patches_at_the_edges_are_averaged_over_their_own_weights() -> None:
    picture = sparsity_map("odd", np.ones((PATCH + 1, 2 * PATCH + 3), bool))
    opacity = np.asarray(opened(picture.image))[..., 3]
    assert opacity.shape == (2, 3) and (opacity == 255).all()
