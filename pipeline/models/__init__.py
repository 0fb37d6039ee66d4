"""Networks: one set of weights, two views (sequence for training, one hop for deployment)."""

from pipeline.models.masknet import MaskNet, State

__all__ = ["MaskNet", "State"]
