"""Section `evaluate`: what is scored beside what, and how."""

from typing import Annotated, Literal

import tyro

from pipeline.config.section import Distinct, Positive, Section


class Evaluate(Section):
    """Quality of every stage's model on the fixed test mixtures."""

    runner: Annotated[
        Literal["tflite", "tflm", "emulator"], tyro.conf.arg(aliases=["--runner"])
    ] = "tflite"
    """What executes the integer model."""
    peers: Annotated[
        tuple[Literal["RNNoise", "GTCRN", "DTLN", "UL-UNAS", "DeepFilterNet3"], ...], Distinct
    ] = ()
    """Other enhancers to score on the same files (needs the `peers` extra)."""
    dnsmos: bool = False
    """Score DNSMOS P.835 as well (needs the `peers` extra)."""
    workers: Positive = 2
    """Processes that compute metrics."""
