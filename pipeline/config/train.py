"""Section `train`: the dense network."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from pipeline.config.section import Fraction, Positive, Section


class Train(Section):
    """Dense floating-point training."""

    initial_weights: Path | None = None
    """Start from these weights (.safetensors) instead of a random initialization."""
    steps: Annotated[int, Field(ge=0)] = 20_000
    """Optimizer steps; 0: the initial weights as they are."""
    batch_size: Positive = 32
    """Crops in a batch."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    """Peak of the cosine schedule."""
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    """Linear warm-up."""
    average_decay: Fraction = 0.999
    """Decay of the exponential weight average that is validated and kept."""
    spectral_weight: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the compressed-band loss beside the signal-to-noise ratio."""
    validate_every: Positive = 500
    """Steps between validations (and checkpoints); the best weights are kept."""
    threads: Positive = 1
    """Cores used for arithmetic (mixing uses one more thread)."""
    # Left out of files and keys where unset, like those of Data.
    measure_front_end: Annotated[bool, Field(exclude_if=lambda wanted: not wanted)] = False
    """Measure the front end on the corpus even where `initial_weights` bring one along."""
    bfloat16: Annotated[bool, Field(exclude_if=lambda wanted: not wanted)] = False
    """Multiply in bfloat16: faster on processors that can, to two or three digits. Only the dense
    network is trained so; integers need float32."""

    @model_validator(mode="after")
    def _steps_are_enough(self) -> "Train":
        if self.steps == 0:
            if self.initial_weights is None:
                raise ValueError("steps = 0 trains nothing; give initial_weights, or steps")
            return self
        for name in ("warmup_steps", "validate_every"):
            if getattr(self, name) > self.steps:
                raise ValueError(
                    f"{name} = {getattr(self, name)} is more than steps = {self.steps}; lower it"
                )
        return self
