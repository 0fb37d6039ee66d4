"""A finished run with invented numbers, small enough to build in a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from pipeline.artefacts import RunDir
from pipeline.config import Compress, Config, Train, Variant
from pipeline.corpora.store import StoreWriter
from pipeline.corpora.testset import MixtureList, MixtureRecipe, Piece, write_list
from pipeline.dsp import RATE_HZ, FrontEnd
from pipeline.networks.tinylstms import TinyLSTMs
from pipeline.networks.trained import Trained
from pipeline.quantization import SCHEMES

SNRS_DB = (-6, -3, 0, 3, 6, 9)
MODES = ("Shared_Sram", "Sram_Only")
SPARSITY = {"plain": 0.0, "weight80": 0.8, "weight95": 0.95}
CLIPS = ("test-000", "test-001", "test-002")
CONFIG = Config(
    seed=7,
    train=Train(warmup_steps=0),
    compress=Compress(variants=tuple(Variant(name=name) for name in SPARSITY)),
)
MODEL = TinyLSTMs(bands=16, lstm_units=(24, 24), dense_units=16)
SPEECH_CLIP, NOISE_CLIP = "speech/one.flac", "noise/<rain> & wind.flac"


def write_run(
    root: Path, model: TinyLSTMs = MODEL, peers: tuple[str, ...] = ("rnnoise",)
) -> RunDir:
    """Write the folders and cards of every stage before the report."""
    run_dir = RunDir(root)
    for item, numbers in by_item(all_results(peers)).items():
        write_card(run_dir, item, numbers)
    rng = np.random.default_rng(5)
    _write_corpus(run_dir.path("prepare") / "corpus" / "test", rng)
    front_end = FrontEnd(np.zeros(model.bands, np.float32), np.ones(model.bands, np.float32))
    arrays = _arrays(model, rng)
    graph = model.define()
    Trained(graph, front_end, arrays).save(run_dir.dense)
    for name, sparsity in SPARSITY.items():
        folder = run_dir.path(f"compress/{name}")
        pruned = _pruned(arrays, sparsity, rng)
        Trained(graph, front_end, pruned, SCHEMES["int8"]).save(folder / f"{name}.safetensors")
    for clip in CLIPS:
        references = ["noisy", "dense_float", *peers]
        _write_audio(run_dir.audio("dense") / clip, references, rng)
        for name in SPARSITY:
            _write_audio(run_dir.audio(name) / clip, [f"{name}_float", name], rng)
    return run_dir


def by_item(stages: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Results as the cards of a run hold them, those of the evaluation with what they are of."""
    scores = stages["evaluate"]
    items = {name: stages[name] for name in ("prepare", "train")}
    owned = {
        name: scores | {"systems": {n: scores["systems"][n] for n in (name, f"{name}_float")}}
        for name in SPARSITY
    }
    others = [n for n in scores["systems"] if not any(n in s["systems"] for s in owned.values())]
    items["evaluate/dense"] = scores | {"systems": {n: scores["systems"][n] for n in others}}
    for name in SPARSITY:
        items |= {
            f"{s}/{name}": stages[s][name] for s in ("compress", "convert", "compile", "on_target")
        }
        items[f"evaluate/{name}"] = owned[name]
        items[f"estimate/{name}"] = {"costs": stages["estimate"][name]}
    return items


def write_card(run_dir: RunDir, item: str, results: dict[str, Any]) -> None:
    """Write (or replace) the card of one item."""
    folder = run_dir.path(item)
    folder.mkdir(parents=True, exist_ok=True)
    card = {
        "item": item,
        "key": f"{len(item):064x}",
        "config": {},
        "inputs": {},
        "outputs": {},
        "versions": {"python": "3.11.0", "tensorflow": "2.21.0"},
        "wall_s": 12.5,
        "results": results,
        "files": {},
    }
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")


def all_results(peers: tuple[str, ...] = ("rnnoise",)) -> dict[str, dict[str, Any]]:
    """Results by stage, as the stages write them."""
    return {
        "prepare": {},
        "train": {"history": _history(20, 9.0), "best_score": 9.0, "step_ms": 101.5},
        "compress": {name: _compressed(sparsity) for name, sparsity in SPARSITY.items()},
        "convert": {name: _converted() for name in SPARSITY},
        "compile": {n: {m: _compiled(s, m) for m in MODES} for n, s in SPARSITY.items()},
        "evaluate": {
            "systems": _systems(peers),
            "mixtures": 120,
            "real_time_factor": dict.fromkeys(SPARSITY, 41.5),
        },
        "on_target": {name: {"board": None} for name in SPARSITY},
        "estimate": {n: [_latency(s, m) for m in MODES] for n, s in SPARSITY.items()},
    }


def _history(points: int, best: float) -> list[dict[str, float]]:
    return [
        {"step": 100 * k, "loss": 4.0 + 6.0 / k, "score": best * (1 - 0.5 / k), "extra": 1.0}
        for k in range(1, points + 1)
    ]


def _compressed(sparsity: float) -> dict[str, Any]:
    names = (
        "lstm1_gates",
        "lstm1_candidate",
        "lstm2_gates",
        "lstm2_candidate",
        "dense",
        "mask",
        "all",
    )
    return {
        "history": _history(10, 9.0 - sparsity),
        "best_score": 9.0 - sparsity,
        "step_ms": 140.0,
        "sparsity": dict.fromkeys(names, sparsity),
        "scheme": "int8",
    }


def _converted() -> dict[str, Any]:
    return {
        "tflite_bytes": 1_004_321,
        "weights_equal_training": True,
        "keras_vs_tflite": {
            "frames": 2_008,
            "mask_mean_abs": 0.00031,
            "mask_worst_abs": 0.021,
            "si_sdr_keras_db": 8.91,
            "si_sdr_tflite_db": 8.90,
        },
        "tflite_vs_tflm": {"values": 257_024, "mismatching": 731, "worst_lsb": 1},
        "tflm_arena_bytes": 23_456,
    }


def _compiled(sparsity: float, mode: str) -> dict[str, Any]:
    parts = {
        "weights": round(1_000_000 * (1.02 - sparsity)),
        "scales": 25_600,
        "lookup_tables": 2_048,
        "other": 512,
        "command_stream": 3_456,
    }
    cycles = _cycles(mode)
    return {
        "source": "vela",
        "accelerator": "ethos-u55-128",
        "system": "Ethos_U55_High_End_Embedded",
        "flash": parts | {"total": sum(parts.values())},
        "arena_bytes": 12_345 if mode == "Shared_Sram" else 1_012_345,
        "npu_cycles": 50_000,
        "total_cycles": sum(cycles.values()),
        "clock_hz": 500_000_000.0,
        "latency_us": sum(cycles.values()) / 500,
        "layers": [_layer(name, count) for name, count in cycles.items()],
    }


def _cycles(mode: str) -> dict[str, int]:
    matrices = {f"lstm{k}_{part}_input": 20_000 for k in (1, 2) for part in ("gate", "candidate")}
    if mode == "Shared_Sram":
        matrices = {name: 4 * cycles for name, cycles in matrices.items()}
    return matrices | {"c1_next": 300, "h1_next": 250, "fused": 0, "mask_input": 4_000}


def _layer(name: str, cycles: int) -> dict[str, Any]:
    return {
        "name": name,
        "operator": "FULLY_CONNECTED",
        "npu_operator": "FullyConnected",
        "cycles": cycles,
        "npu_cycles": cycles // 2,
        "sram_cycles": cycles // 3,
        "dram_cycles": 0,
        "on_chip_flash_cycles": 0,
        "off_chip_flash_cycles": cycles,
        "macs": 10 * cycles,
    }


def _latency(sparsity: float, mode: str) -> dict[str, Any]:
    compiled = _compiled(sparsity, mode)
    fields = ("source", "npu_cycles", "total_cycles", "latency_us")
    return {"memory_mode": mode} | {field: compiled[field] for field in fields}


def _systems(peers: tuple[str, ...]) -> dict[str, Any]:
    systems = {
        "noisy": _system("Noisy input", "input", 0.0),
        "oracle": _system("Ideal ratio mask", "oracle", 12.0),
        **{peer: _system(peer, "peer", 4.0) for peer in peers},
        "dense_float": _system("Dense, float32", "float", 9.0),
    }
    for name, sparsity in SPARSITY.items():
        systems.setdefault(f"{name}_float", _system(f"{name}, float", "float", 9.0 - sparsity))
        systems[name] = _system(f"{name}, int8", "integer", 8.95 - sparsity)
    return systems


def _system(label: str, kind: str, gain_db: float) -> dict[str, Any]:
    return {
        "label": label,
        "kind": kind,
        "overall": _metrics(gain_db, 1.5, 120),
        "per_snr_db": {f"{snr:g}": _metrics(gain_db - 0.2 * snr, snr, 20) for snr in SNRS_DB},
    }


def _metrics(gain_db: float, snr_db: float, clips: int) -> dict[str, Any]:
    means = {
        "si_sdr_db": snr_db + gain_db,
        "si_sdri_db": gain_db,
        "sdr_db": snr_db + gain_db + 0.5,
        "sdri_db": gain_db,
        "pesq_wb": 1.2 + 0.1 * gain_db + 0.02 * snr_db,
        "stoi": 0.75 + 0.01 * gain_db,
    }
    return {
        name: {"mean": mean, "standard_error": 0.05, "valid": clips, "total": clips}
        for name, mean in means.items()
    }


def _arrays(model: TinyLSTMs, rng: np.random.Generator) -> dict[str, np.ndarray]:
    arrays = {}
    for name, shape in model.define().matrices().items():
        arrays[f"{name}/kernel"] = rng.normal(size=shape).astype(np.float32)
        arrays[f"{name}/bias"] = np.zeros(shape[1], np.float32)
        arrays[f"{name}/mask"] = np.ones(shape, np.float32)
    return arrays


def _pruned(
    arrays: dict[str, np.ndarray], sparsity: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    pruned = dict(arrays)
    for name in [n for n in arrays if n.endswith("/mask")]:
        rows, columns = arrays[name].shape
        importance = rng.gamma(2.0, size=(rows, 1)) * rng.gamma(2.0, size=(1, columns))
        scores = importance * np.abs(rng.normal(size=(rows, columns)))
        kept = scores >= np.quantile(scores, sparsity)
        pruned[name] = kept.astype(np.float32)
    return pruned


def _write_corpus(folder: Path, rng: np.random.Generator) -> None:
    for role, name in (("speech", SPEECH_CLIP), ("noise", NOISE_CLIP)):
        folder.mkdir(parents=True, exist_ok=True)
        writer = StoreWriter(folder / role)
        writer.append(
            0.1 * rng.standard_normal(RATE_HZ),
            name=name,
            source="synthetic",
            speaker="talker",
            licence="CC0",
            kind=role,
        )
        writer.close()
    recipes = tuple(
        MixtureRecipe(
            clip,
            snr_db=3.0,
            noise_kind="rain",
            speech=(Piece(SPEECH_CLIP, 0, RATE_HZ, 0, 0.0),),
            noise=(Piece(NOISE_CLIP, 0, RATE_HZ, 0, 0.0),),
        )
        for clip in CLIPS
    )
    write_list(MixtureList(RATE_HZ, recipes, {}), folder / "mixtures.json")


def _write_audio(folder: Path, systems: list[str], rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    clean = 0.3 * np.sin(2 * np.pi * 440 / RATE_HZ * np.arange(RATE_HZ))
    noise = 0.1 * rng.standard_normal(RATE_HZ)
    soundfile.write(folder / "clean.flac", clean, RATE_HZ)
    for k, name in enumerate(systems):
        soundfile.write(folder / f"{name}.flac", clean + noise / (1 + k), RATE_HZ)
