"""Convert: one-hop integer TFLite models, each with proof that it is what was trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artefacts import RunDir, stage, write_atomically, write_json
from pipeline.cli import stage_main
from pipeline.compress import weights_path
from pipeline.config import Config
from pipeline.corpora.testset import Mixture
from pipeline.lowering.step_graph import build_step_graph, integer_matrix
from pipeline.lowering.unit_order import narrow_windows
from pipeline.models.weights import Weights
from pipeline.prepare import prepared_corpus
from pipeline.progress import Reporter

PROOF_FRAMES = 2_000


@stage("convert", needs=("prepare", "compress"), sections=("data", "mixing", "model", "compress"))
def run(config: Config, run_dir: RunDir, work_dir: Path) -> dict[str, Any]:
    """Write one-hop integer TFLite models, each with proof that it is what was trained."""
    mixtures = list(prepared_corpus(run_dir).mixtures("valid"))
    results = {}
    with Reporter() as report:
        for done, variant in enumerate(config.compress.variants, start=1):
            weights = Weights.load(weights_path(run_dir, variant.name))
            path = work_dir / f"{variant.name}.tflite"
            results[variant.name] = write_model(weights, path, mixtures)
            write_json(work_dir / f"{variant.name}.card.json", results[variant.name])
            report("convert", done, len(config.compress.variants))
    return results


def write_model(weights: Weights, path: Path, mixtures: Sequence[Mixture]) -> dict[str, Any]:
    """Write a network as a one-hop integer TFLite model, and prove it.

    Args:
        weights: a compressed network.
        path: the file to write; its stem is the model's name.
        mixtures: real audio to compare on.

    Returns:
        Size, share of zeros and the proof.
    """
    from pipeline.lowering.proof import prove

    weights = narrow_windows(weights)
    model = build_step_graph(weights, path.stem)
    write_atomically(path, model)
    return {
        "tflite_bytes": len(model),
        "scheme": weights.scheme.name,
        "zero_weights": _zero_share(weights),
    } | prove(weights, model, mixtures, PROOF_FRAMES)


def model_path(run_dir: RunDir, name: str) -> Path:
    """Where a variant's TFLite model lies."""
    return run_dir.path("convert") / f"{name}.tflite"


def _zero_share(weights: Weights) -> float:
    """Share of zeros among the stored int8 weights (rounding adds some to the pruned ones)."""
    names = [n.removesuffix("/kernel") for n in weights.arrays if n.endswith("/kernel")]
    stored = np.concatenate([integer_matrix(weights, name).weights.ravel() for name in names])
    return float(np.mean(stored == 0))


if __name__ == "__main__":
    stage_main(run)
