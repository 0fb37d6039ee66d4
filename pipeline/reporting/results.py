"""The numbers a report is made from, checked as they are read from the stage cards."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from pipeline.boards.inferences import Inferences
from pipeline.boards.journal import BoardRun
from pipeline.deployed import Count, IntegerDifference, Proof
from pipeline.errors import InputError
from pipeline.ethosu.vela import FlashBytes

DENSE_FLOAT = "dense_float"
"""Evaluated system that every compressed model is compared with."""


class ResultsError(InputError):
    """A card lacks a number or holds something else than expected."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Validation(_Record):
    """One point of a training curve; ``score`` is the SI-SDR improvement in dB."""

    step: Count
    loss: FiniteFloat
    score: FiniteFloat


class Training(_Record):
    """A finished training; without history, weights that were taken as they are."""

    history: tuple[Validation, ...]
    best_score: FiniteFloat
    step_ms: FiniteFloat | None = None


class ToolkitWeights(_Record):
    """A weight tensor after a step of the optimization toolkit."""

    name: str
    elements: Count
    zeros: FiniteFloat
    distinct: Count


class ToolkitStep(_Record):
    """What a step of the optimization toolkit left: scores, and zeros that are easily lost."""

    do: str
    scores: dict[str, FiniteFloat]
    zeros: FiniteFloat
    weights: tuple[ToolkitWeights, ...]


class Compressed(_Record):
    """A compressed variant; ``sparsity`` is the share removed by matrix, and ``all`` of them.

    One that was pruned offline has no training; one that the optimization toolkit made, steps.
    """

    history: tuple[Validation, ...] = ()
    sparsity: dict[str, FiniteFloat]
    scheme: str
    steps: tuple[ToolkitStep, ...] = ()


class Converted(Proof):
    """A TFLite model and the proof that came with it."""

    tflite_bytes: Count


class Produced(_Record):
    """A TFLite model of the optimization toolkit, and its runtimes where both run it."""

    tflite_bytes: Count
    tflite_vs_tflm: IntegerDifference | None = None


class Layer(_Record):
    """One NPU operation; ``cycles`` is what it adds to the total."""

    name: str
    npu_operator: str
    cycles: Count
    macs: Count


class Compiled(_Record):
    """A model compiled for one memory mode."""

    accelerator: str
    system: str
    flash: FlashBytes
    arena_bytes: Count
    clock_hz: FiniteFloat
    layers: tuple[Layer, ...]


class Statistic(_Record):
    """Mean over clips and its standard error; None where no clip defines a value."""

    mean: FiniteFloat | None
    standard_error: FiniteFloat | None
    valid: Count
    total: Count


Read = TypeVar("Read", bound=BaseModel)
Kind = Literal["input", "oracle", "peer", "float", "integer"]
Metric = Literal["si_sdr_db", "si_sdri_db", "sdr_db", "pesq_wb", "stoi", "dnsmos_overall"]
OPTIONAL_METRICS: tuple[Metric, ...] = ("dnsmos_overall",)


def _complete(metrics: dict[str, Statistic]) -> dict[str, Statistic]:
    needed = set(get_args(Metric)) - set(OPTIONAL_METRICS)
    missing = [name for name in get_args(Metric) if name in needed - metrics.keys()]
    if missing:
        raise ValueError(f"no {', '.join(missing)}")
    return metrics


Metrics = Annotated[dict[str, Statistic], AfterValidator(_complete)]


class System(_Record):
    """Quality of one system, by metric name; and by metric for each mixture SNR in dB."""

    label: str
    kind: Kind
    overall: Metrics
    per_snr_db: dict[float, Metrics]


Source = Literal["vela", "emulator", "fvp", "board"]


class Latency(_Record):
    """Cost of one hop as one source gives it."""

    source: Source
    memory_mode: str
    npu_cycles: Count | None
    total_cycles: Count | None
    latency_us: FiniteFloat


class Evaluation(_Record):
    """All systems on one test set."""

    systems: dict[str, System]
    real_time_factor: dict[str, FiniteFloat]


class OnTarget(BoardRun):
    """What a board made of a model's audio or, without a front end, of random inputs."""

    inferences: dict[str, Inferences] = Field(default={})


class ModelResults(_Record):
    """What is known of models that do whatever they do; dictionaries are keyed by variant.

    Attributes:
        compress: how they were made.
        convert: their TFLite models.
        compile: their compiled models by memory mode.
        estimate: cost of one hop or inference, one entry for each source and memory mode.
        on_target: what the firmware did on a board.
    """

    compress: Annotated[dict[str, Compressed], Field(min_length=1)]
    convert: dict[str, Converted | Produced]
    compile: dict[str, Annotated[dict[str, Compiled], Field(min_length=1)]]
    estimate: dict[str, tuple[Latency, ...]]
    on_target: dict[str, OnTarget]

    @property
    def memory_modes(self) -> tuple[str, ...]:
        """Memory modes, the main one first."""
        return tuple(next(iter(self.compile.values())))

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where latencies come from, in order of appearance."""
        found = (row.source for rows in self.estimate.values() for row in rows)
        return tuple(dict.fromkeys(found))

    def latency(self, variant: str, memory_mode: str, source: Source) -> Latency | None:
        """Cost of one hop, None if this source knows none."""
        rows = (
            r for r in self.estimate[variant] if (r.memory_mode, r.source) == (memory_mode, source)
        )
        return next(rows, None)

    def smallest(self) -> str:
        """The variant with the least flash in the main memory mode."""
        mode = self.memory_modes[0]
        return min(self.compile, key=lambda name: self.compile[name][mode].flash.total)


class Results(ModelResults):
    """Everything a report on enhancers shows in numbers.

    Attributes:
        train: the dense floating-point network that the variants come from.
        evaluate: quality; each variant's integer model is the system of the same name.
    """

    train: Training
    evaluate: Evaluation

    def change(self, variant: str, metric: Metric) -> float | None:
        """Mean of a variant's integer model minus that of the dense float network."""
        systems = self.evaluate.systems
        means = [systems[name].overall[metric].mean for name in (variant, DENSE_FLOAT)]
        return None if means[0] is None or means[1] is None else means[0] - means[1]


def read_model_results(stages: Mapping[str, Mapping[str, Any]]) -> ModelResults:
    """Check the results of a run's cards, by stage and, where it has one of each, by variant.

    Raises:
        ResultsError: names the stage and the field, and how to mend it.
    """
    return _read(ModelResults, stages)


def read_results(stages: Mapping[str, Mapping[str, Any]]) -> Results:
    """Likewise of a run that makes enhancers.

    Raises:
        ResultsError: as `read_model_results`.
    """
    results = _read(Results, stages)
    for system in (DENSE_FLOAT, *results.compress):
        if system not in results.evaluate.systems:
            raise _damaged("evaluate", f"system {system!r} is missing")
    return results


def _read(kind: type[Read], stages: Mapping[str, Mapping[str, Any]]) -> Read:
    try:
        return kind.model_validate({stage: dict(value) for stage, value in stages.items()})
    except ValidationError as error:
        problem = error.errors()[0]
        stage, *field = (str(part) for part in problem["loc"])
        raise _damaged(stage, f"{'.'.join(field)}: {problem['msg']}") from error


def _damaged(stage: str, what: str) -> ResultsError:
    return ResultsError(
        f"results of {stage}: {what}; run `python -m pipeline.{stage} --force` with the same "
        "configuration"
    )
