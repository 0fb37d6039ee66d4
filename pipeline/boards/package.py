"""The model package: a model with all that is specific to it, in the form the firmware reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.boards import package_layout as layout
from pipeline.boards.memory_timing import MemoryTiming
from pipeline.boards.package_layout import Section, WeightsPlacement
from pipeline.boards.packed_weights import pack, parts_of
from pipeline.dsp import FrontEnd
from pipeline.ethosu.model import SCRATCH_REGION, VelaModel
from pipeline.ethosu.model import TensorSpec as NpuTensor
from pipeline.runners import (
    Array,
    HopModel,
    ModelInterface,
    TargetError,
    TensorSpec,
    states_of,
)

# Driver action OPTIMIZER_CONFIG: the CONFIG and ID registers Vela compiled for follow its tag.
_CONFIG_ACTION_WORD, _CONFIG_ACTION = 1, 0x01


@dataclass(frozen=True)
class GoldenHops:
    """Hops to replay on the device, from the zero state: stored features and mask [T, bands]."""

    features: Array
    mask: Array


@dataclass(frozen=True)
class ModelPackage:
    """A package, and the tensors that go into and come out of its model, states left out.

    With a front end these are one input, the features, and one output, the mask.
    """

    content: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class _CompiledInterface:
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


def pack_npu_model(
    model: VelaModel,
    front_end: FrontEnd | None,
    *,
    placement: WeightsPlacement,
    packs_weights: bool = False,
    golden: GoldenHops | None = None,
    memory_timing: MemoryTiming | None = None,
) -> ModelPackage:
    """Package a model that Vela mapped to the NPU as a whole, for the firmware's `npu` engine.

    Without a front end any model is packaged; the firmware runs it, but does not enhance audio.
    Packed weights (`pipeline.boards.packed_weights`) are unpacked where others are copied to.

    Raises:
        TargetError: tensors outside the arena, a second scratch area, unsupported types, packed
            weights that stay in flash, or features and golden hops that do not fit the front end.
    """
    if packs_weights and placement is not WeightsPlacement.SRAM_AT_BOOT:
        raise TargetError(
            "packed weights are unpacked into SRAM at boot; take memory mode Sram_Only, or leave "
            "them as they are"
        )
    if model.scratch_fast_bytes:
        raise TargetError(
            f"the model needs {model.scratch_fast_bytes} bytes of separate fast scratch memory; "
            "compile it with a memory mode that has one arena (Sram_Only or Shared_Sram)"
        )
    tensors = (*model.inputs, *model.outputs, *model.variables)
    outside = [spec.name for spec in tensors if spec.region != SCRATCH_REGION]
    if outside:
        raise TargetError(f"tensors {outside} are not in the arena")
    config, architecture = _compiled_for(model)
    sections = {
        Section.NPU_JOB: layout.npu_job(architecture, config, model.scratch_bytes, placement),
        Section.NPU_STREAM: np.array(model.command_words, "<u4").tobytes(),
    }
    if packs_weights and model.read_only:
        sections[Section.PACKED_WEIGHTS] = pack(model.read_only, parts_of(model))
    else:
        sections[Section.NPU_WEIGHTS] = model.read_only
    offsets = {spec.name: spec.offset for spec in tensors}
    interface = _CompiledInterface(_specs(model.inputs), _specs(model.outputs))
    variables = _specs(model.variables)
    return _pack(interface, offsets, variables, front_end, sections, golden, memory_timing)


def pack_tflite_model(
    content: bytes,
    interface: ModelInterface,
    front_end: FrontEnd | None,
    *,
    golden: GoldenHops | None = None,
    memory_timing: MemoryTiming | None = None,
) -> ModelPackage:
    """Package a TFLite file for the firmware's `tflm` engine.

    Args:
        content: the `.tflite` file, compiled by Vela or not.
        interface: of the same model, its inputs and outputs in the file's order.
        front_end: of the model, if it has one.
        golden: hops to replay.
        memory_timing: for FPGA and FVP.

    Raises:
        TargetError: as `pack_npu_model`.
    """
    sections = {Section.TFLITE: content}
    return _pack(interface, {}, {}, front_end, sections, golden, memory_timing)


def _compiled_for(model: VelaModel) -> tuple[int, int]:
    """CONFIG and ID register values Vela assumed."""
    words = np.frombuffer(model.driver_payload[: 4 * (_CONFIG_ACTION_WORD + 3)], "<u4")
    if len(words) < _CONFIG_ACTION_WORD + 3 or words[_CONFIG_ACTION_WORD] & 0xFF != _CONFIG_ACTION:
        raise TargetError("the driver payload does not begin with the NPU's configuration")
    return int(words[_CONFIG_ACTION_WORD + 1]), int(words[_CONFIG_ACTION_WORD + 2])


def _specs(tensors: Iterable[NpuTensor]) -> dict[str, TensorSpec]:
    return {
        spec.name: TensorSpec(spec.name, spec.shape, spec.dtype, spec.scale, spec.zero_point)
        for spec in tensors
    }


def _pack(
    interface: ModelInterface,
    arena_offsets: Mapping[str, int],
    variables: Mapping[str, TensorSpec],
    front_end: FrontEnd | None,
    model_sections: Mapping[Section, bytes],
    golden: GoldenHops | None,
    memory_timing: MemoryTiming | None,
) -> ModelPackage:
    roles = _roles(interface, front_end)
    inputs = tuple(interface.inputs[name] for name in roles.inputs)
    outputs = tuple(interface.outputs[name] for name in roles.outputs)
    sections = {
        Section.TENSORS: layout.tensors(interface, roles, arena_offsets, variables),
        Section.DELAYS: layout.delays(interface, roles),
        **model_sections,
    }
    if front_end is not None:
        _check_bands((*inputs, *outputs), front_end.bands)
        sections[Section.FRONT_END] = layout.front_end(front_end)
    if golden is not None and roles.gate:
        raise TargetError(
            f"{roles.gate[0]!r} lets hops pass; golden hops are replayed one by one: leave them out"
        )
    if golden is not None:
        _check_golden(golden, inputs[0], outputs[0])
        sections[Section.GOLDEN] = layout.golden(golden.features, golden.mask)
    if memory_timing is not None:
        sections[Section.MEMORY_TIMING] = layout.memory_timing(memory_timing)
    content = {kind: content for kind, content in sections.items() if content}
    return ModelPackage(layout.assemble(content), inputs, outputs)


def _roles(interface: ModelInterface, front_end: FrontEnd | None) -> layout.Roles:
    """Without a front end, every tensor that is no state goes in or comes out as it is."""
    if front_end is None:
        states = states_of(interface)
        fed_back = {f"{state}_next" for state in states}
        return layout.Roles(
            tuple(name for name in interface.inputs if name not in states),
            tuple(name for name in interface.outputs if name not in fed_back),
            states,
        )
    hop = HopModel.of(interface)
    sources = {item.source: None for item in hop.delayed if item.source != hop.features}
    frames, gate = tuple(sources), (hop.gate,) if hop.gate is not None else ()
    return layout.Roles((hop.features,), (hop.mask,), hop.states, hop.delayed, frames, gate)


def _check_bands(specs: Iterable[TensorSpec], bands: int) -> None:
    for spec in specs:
        if int(np.prod(spec.shape)) != bands or spec.dtype not in (np.int8, np.int16):
            raise TargetError(
                f"{spec.name!r} is {spec.dtype}{list(spec.shape)}; the front end has {bands} "
                "bands, which go in and come out as int8 or int16. A model with other inputs is "
                "run without a front end: python -m pipeline.boards.infer"
            )


def _check_golden(golden: GoldenHops, features: TensorSpec, mask: TensorSpec) -> None:
    for spec, values in ((features, golden.features), (mask, golden.mask)):
        expected = (len(golden.features), int(np.prod(spec.shape)))
        if values.dtype != spec.dtype or values.shape != expected:
            raise TargetError(
                f"golden {spec.name} are {values.dtype}{list(values.shape)}; "
                f"expected {spec.dtype}{list(expected)}"
            )
