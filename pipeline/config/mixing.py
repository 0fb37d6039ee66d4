"""Section `mixing`: mixtures to train on."""

from typing import Annotated

from pydantic import Field, model_validator

from pipeline.config.section import Section


class Mixing(Section):
    """Training mixtures made on the fly."""

    crop_s: Annotated[float, Field(ge=0.25, le=60.0)] = 3.0
    """Length of a training crop in seconds."""
    snr_low_db: float = -5.0
    """Lowest signal-to-noise ratio."""
    snr_high_db: float = 15.0
    """Highest signal-to-noise ratio."""

    @model_validator(mode="after")
    def _low_is_lower(self) -> "Mixing":
        if self.snr_low_db > self.snr_high_db:
            raise ValueError(
                f"snr_low_db = {self.snr_low_db:g} is above snr_high_db = {self.snr_high_db:g}"
            )
        return self
