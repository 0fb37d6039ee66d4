"""Run: every stage in order. This is the only place that knows the order."""

from pipeline.cli import parse, reported_errors
from pipeline.stages import compile as compile_stage
from pipeline.stages import compress, convert, estimate, evaluate, prepare, report, train

STAGES = {
    stage.name: stage
    for stage in (
        prepare.run,
        train.run,
        compress.run,
        convert.run,
        compile_stage.run,
        evaluate.run,
        estimate.run,
        report.run,
    )
}


def main() -> None:
    """Run what is not up to date and say where the report is."""
    config, run_dir, force = parse("python -m pipeline.run", "Run every stage in order.")
    with reported_errors():
        for stage in STAGES.values():
            stage.check(config)
    for name, stage in STAGES.items():
        with reported_errors():
            card = stage(config, run_dir, force)
        print(f"{name}: {run_dir.path(name)} ({card.wall_s} s)", flush=True)
    print(f"report: {run_dir.path('report') / 'report.html'}")


if __name__ == "__main__":
    main()
