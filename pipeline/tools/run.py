"""Run: every stage in order. This is the only place that knows the order."""

from pipeline.cli import parse, reported_errors
from pipeline.stages import compile as compile_stage
from pipeline.stages import (
    compress,
    convert,
    estimate,
    evaluate,
    on_target,
    prepare,
    report,
    train,
)

STAGES = {
    stage.item: stage
    for stage in (
        prepare.run,
        train.run,
        compress.run,
        convert.run,
        compile_stage.run,
        evaluate.reference,
        evaluate.run,
        estimate.run,
        on_target.run,
        report.run,
    )
}


def main() -> None:
    """Make what is not finished and say where the report is."""
    config, run_dir, force = parse("python -m pipeline.run", "Run every stage in order.")
    with reported_errors():
        for stage in STAGES.values():
            stage.check(config)
    for stage in STAGES.values():
        for model in stage.models(config):
            with reported_errors():
                card = stage.make(config, run_dir, model, force)
            print(f"{card.item}: {run_dir.path(card.item)} ({card.wall_s} s)", flush=True)
    print(f"report: {run_dir.path('report') / 'report.html'}")


if __name__ == "__main__":
    main()
