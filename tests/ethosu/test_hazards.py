"""The checker accepts everything Vela emits and notices each kind of damage."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ethosu_graphs import generate
from ethosu_reference import vela_compile
from tflite_builder import GraphBuilder

from pipeline.ethosu import Emulator, Hazard, load_vela_model
from pipeline.ethosu.checker import check_program
from pipeline.ethosu.operations import BlockOperation, Dma, Operation

FAMILIES = ("chain_int8", "softmax_int8", "tanh_int8", "leaky_relu_int16", "add_int8", "split_int8")


def emulator(family: str, seed: int = 3, macs: int = 128) -> Emulator:
    return Emulator(load_vela_model(vela_compile(generate(family, seed), macs)))


def hazards(subject: Emulator, operations: list[Operation]) -> list[Hazard]:
    return check_program(subject.model, operations, subject.accelerator)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("macs", [32, 64, 128, 256])
def test_compiled_programs_are_clean(family: str, macs: int) -> None:
    assert emulator(family, macs=macs).check() == []


def test_missing_dma_wait_is_found() -> None:
    subject = emulator("tanh_int8")
    damaged = [replace(op, dma_wait=None) for op in subject.operations]
    assert any(isinstance(op, Dma) for op in damaged)
    assert {h.kind for h in hazards(subject, damaged)} == {"dependency"}


def test_block_dependency_too_weak_is_found() -> None:
    subject = emulator("chain_int8")
    damaged = [replace(op, blockdep=3) for op in subject.operations]
    found = [h for h in hazards(subject, damaged) if h.kind == "dependency"]
    assert any("blockdep 3" in h.message for h in found)


def test_read_before_write_is_found() -> None:
    subject = emulator("chain_int8")
    found = hazards(subject, list(subject.operations[1:]))
    assert {h.kind for h in found} == {"uninitialized"}


def test_copies_rounded_up_are_clean_and_their_tail_stays_unwritten() -> None:
    """Vela copies whole 16-byte units; 3 x 9 x 7 bytes end in the middle of one."""
    graph = GraphBuilder()
    x, y = graph.tensor((1, 3, 5, 7), "int8", 0.03), graph.tensor((1, 3, 9, 7), "int8", 0.03)
    product = graph.tensor((1, 3, 5, 9), "int8", 0.1)
    graph.operator("BATCH_MATMUL", [x, y], [product], "BatchMatMulOptions", adjY=True)
    subject = Emulator(load_vela_model(vela_compile(graph.build([x, y], [product]))))
    sizes = [spec.size_bytes for spec in subject.model.inputs]
    copies = [op for op in subject.operations if isinstance(op, Dma)]
    assert any(op.source.length > max(sizes) for op in copies)
    assert subject.check() == []
    reader = next(op for op in subject.operations if isinstance(op, BlockOperation))
    (copy,) = copies
    beyond = replace(
        reader.ifm,
        bases=(copy.destination.address + copy.destination.length - 1, 0, 0, 0),
        shape=(1, 1, 1),
    )
    found = hazards(subject, [copy, replace(reader, ifm=beyond)])
    assert any(h.kind == "uninitialized" and "input reads 1 bytes" in h.message for h in found)


def test_clobbered_tensor_is_found() -> None:
    subject = emulator("chain_int8")
    first, second = (op for op in subject.operations[:2] if isinstance(op, BlockOperation))
    height, width, depth = first.ofm.shape
    part = replace(
        first, ofm=replace(first.ofm, shape=(height // 2, width, depth)), block=first.block
    )
    found = hazards(subject, [first, part, second, *subject.operations[2:]])
    assert any(h.kind == "clobbered" for h in found)


def test_output_over_its_own_input_is_found() -> None:
    subject = emulator("conv_int8", seed=2)
    (op,) = (op for op in subject.operations if isinstance(op, BlockOperation))
    moved = replace(op, ofm=replace(op.ofm, bases=(op.ifm.bases[0] + 1, 0, 0, 0)))
    assert any(h.kind == "overlap" for h in hazards(subject, [moved]))
