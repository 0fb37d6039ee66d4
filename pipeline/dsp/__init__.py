"""The audio front and back end: one definition for training, int8 streaming and firmware."""

from pipeline.dsp.analysis import Analyser, analyse, measure_front_end
from pipeline.dsp.bands import band_matrix
from pipeline.dsp.enhance import enhance, ideal_ratio_mask
from pipeline.dsp.frontend import FrontEnd
from pipeline.dsp.stft import FRAME_SAMPLES, HOP_SAMPLES, RATE_HZ, istft, stft, window
from pipeline.dsp.streaming import StreamingEnhancer

__all__ = [
    "FRAME_SAMPLES",
    "HOP_SAMPLES",
    "RATE_HZ",
    "Analyser",
    "FrontEnd",
    "StreamingEnhancer",
    "analyse",
    "band_matrix",
    "enhance",
    "ideal_ratio_mask",
    "istft",
    "measure_front_end",
    "stft",
    "window",
]
