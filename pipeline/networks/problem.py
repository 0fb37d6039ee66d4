"""A user's model that is no network of this package, with data and a loss of its own."""

from typing import Literal

from pipeline.errors import InputError
from pipeline.networks.settings import ModelSettings


class ToolkitProblem(ModelSettings):
    """For the optimization toolkit, see `pipeline.producers.tfmot`."""

    network: Literal["tfmot"]
    """Which network: one that only the optimization toolkit knows."""
    problem: str
    """``module:function`` that returns a `pipeline.producers.tfmot.Problem`."""

    @property
    def place(self) -> str:
        """Where its code is."""
        return self.problem

    def check(self) -> None:
        """Refuse a place where there is no module.

        Raises:
            InputError: names the place.
        """
        if ":" not in self.problem or self.source is None:
            raise InputError(
                f"model.problem = {self.problem!r}: no such module; expected module:function, the "
                "module on PYTHONPATH"
            )
