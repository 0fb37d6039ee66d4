"""The streaming recurrent graph, hop by hop with its state fed back, and its speed."""

from __future__ import annotations

import time

import numpy as np
from ethosu_reference import compare, vela_compile
from recurrent_graph import RecurrentGraph

from pipeline.ethosu import Emulator, load_vela_model
from pipeline.ethosu.golden import MicroGolden

REAL_TIME_HOPS_PER_S = 62.5


def test_state_fed_back_stays_equal_to_tflite_micro() -> None:
    graph = RecurrentGraph(units=48, layers=2)
    model = graph.build()
    emulator, reference = Emulator(load_vela_model(vela_compile(model))), MicroGolden(model)
    rng = np.random.default_rng(0)
    inputs = {s.name: np.zeros(s.shape, s.dtype) for s in emulator.model.inputs}
    states: dict[str, np.ndarray] = {}
    for _ in range(100):
        inputs["t0"] = rng.integers(-128, 128, (1, 128)).astype(np.int8)
        assert compare(emulator, reference, {**inputs, **states}).mismatches == 0
        outputs = emulator.invoke({**inputs, **states})
        states = {into: outputs[out] for out, into in graph.feedback.items()}
    assert all(np.ptp(state) > 0 for state in states.values())


def test_full_size_network_runs_faster_than_real_time() -> None:
    emulator = Emulator(load_vela_model(vela_compile(RecurrentGraph(units=256, layers=2).build())))
    inputs = {s.name: np.zeros(s.shape, s.dtype) for s in emulator.model.inputs}
    emulator.invoke(inputs)
    start = time.process_time()
    for _ in range(50):
        emulator.invoke(inputs)
    assert 50 / (time.process_time() - start) > REAL_TIME_HOPS_PER_S
