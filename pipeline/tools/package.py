"""Writes the package of a model: all that the firmware needs to run it, in one file.

python -m pipeline.package tflite_models/weight80.tflite -o weight80.package
python -m pipeline.package tflite_models/weight80.tflite -o weight80.package \\
    --memory-mode Sram_Only --pack-weights
python -m pipeline.package keywords.tflite -o keywords.package --accelerator ethos-u55-64

A model whose card (<model>.card.json beside it) has a front end is packaged with it and enhances
audio; any other is packaged alone, to be run. docs/firmware-reference.md describes the file.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from pipeline.artefacts import write_atomically
from pipeline.boards.board_options import add_target_options, compile_target
from pipeline.boards.deployment import ENGINES, package_model
from pipeline.cli import command_parser, reported_errors
from pipeline.deployed import Deployed


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = command_parser("pipeline.package", __doc__)
    parser.add_argument("model", type=Path, help="a .tflite, compiled by Vela or not")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--engine", choices=ENGINES, default="npu", help="default: %(default)s")
    parser.add_argument(
        "--pack-weights",
        action="store_true",
        help="entropy-coded without loss, unpacked into SRAM at boot (Sram_Only)",
    )
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    add_target_options(parser)
    options = parser.parse_args(arguments)
    with reported_errors():
        model = Deployed.load(options.model)
        front_end = model.front_end if model.card.front_end else None
        with tempfile.TemporaryDirectory() as scratch:
            package = package_model(
                model,
                Path(scratch),
                compile_target(options),
                engine=options.engine,
                front_end=front_end,
                packs_weights=options.pack_weights,
            )
        write_atomically(options.out, package.content)
    if options.json:
        written = {"package": str(options.out), "bytes": len(package.content)}
        print(json.dumps(written | {"enhances_audio": front_end is not None}, indent=1))
    else:
        kind = "an enhancer with its front end" if front_end else "a model without front end"
        print(f"{options.out}: {len(package.content):,} bytes, {kind}")


if __name__ == "__main__":
    main()
