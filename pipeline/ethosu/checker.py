"""Static checks of a program: uninitialized reads, clobbered tensors, weak dependencies.

The emulator runs operations one after another, so a stream with too few waits still gives the
right answer there; on hardware it might not. These checks look at what could run at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence

from .contents import check_contents
from .dependencies import check_block_dependencies, check_waits
from .hazards import Hazard
from .model import VelaModel
from .npu import Npu
from .operations import Operation


def check_program(
    model: VelaModel, operations: Sequence[Operation], accelerator: Npu
) -> list[Hazard]:
    """All hazards of a model's program, in stream order. Addresses must already be in bounds."""
    hazards = list(check_contents(model, operations, accelerator))
    hazards += check_waits(operations, accelerator)
    hazards += check_block_dependencies(operations)
    return sorted(hazards, key=lambda hazard: hazard.command_index)
