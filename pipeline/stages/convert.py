"""Convert: one-hop integer TFLite models, each with proof that it is what was trained."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artefacts import RunDir, stage
from pipeline.cli import stage_main
from pipeline.config import Config
from pipeline.deployed import Card, Comparison, Deployed, FrontEndRecord
from pipeline.inputs import prepared_corpus
from pipeline.lowering.tflite import integer_matrix, to_tflite
from pipeline.lowering.unit_order import narrow_windows
from pipeline.models import Model
from pipeline.networks.trained import Trained

PROOF_FRAMES = 2_000


@stage("convert/{model}", needs=("prepare", "compress/{model}"), settings=())
def run(config: Config, run_dir: RunDir, work_dir: Path, model: Model) -> dict[str, Any]:
    """Write one-hop integer TFLite models, each with proof that it is what was trained."""
    if model.variant.toolkit:
        return _produced(config, run_dir, work_dir, model)
    from pipeline.lowering.proof import prove

    trained = narrow_windows(Trained.load(run_dir.weights(model.name)))
    tflite = to_tflite(trained, model.name)
    proof = prove(trained, tflite, list(prepared_corpus(run_dir).mixtures("valid")), PROOF_FRAMES)
    front_end = FrontEndRecord.of(trained.front_end)
    card = Card(producer="lowering", front_end=front_end, proof=proof)
    Deployed.write(work_dir / run_dir.tflite(model.name).name, tflite, card)
    return {
        "tflite_bytes": len(tflite),
        "scheme": trained.scheme.name,
        "zero_weights": _zero_share(trained),
    } | proof.model_dump()


def _produced(config: Config, run_dir: RunDir, work_dir: Path, model: Model) -> dict[str, Any]:
    """A model of the optimization toolkit, with what its runtimes' outputs differ by."""
    made = run_dir.card(f"compress/{model.name}").results
    proof = made["proof"] and Comparison.model_validate(made["proof"])
    front_end = None
    if "train" not in config.skipped_stages:
        front_end = FrontEndRecord.of(Trained.load(run_dir.dense).front_end)
    card = Card(producer="tfmot", front_end=front_end, proof=proof)
    content = run_dir.produced(model.name).read_bytes()
    Deployed.write(work_dir / run_dir.tflite(model.name).name, content, card)
    zeros = {"scheme": made["scheme"], "zero_weights": made["sparsity"]["all"]}
    return {"tflite_bytes": len(content)} | zeros | (made["proof"] or {})


def _zero_share(trained: Trained) -> float:
    """Share of zeros among the stored int8 weights (rounding adds some to the pruned ones)."""
    names = trained.graph.matrices()
    stored = np.concatenate([integer_matrix(trained, name).weights.ravel() for name in names])
    return float(np.mean(stored == 0))


if __name__ == "__main__":
    stage_main(run)
