"""A deployed model: an integer TFLite file, and a card that says all else a user of it may know.

This is the one contract behind lowering. Whoever makes such a model (`pipeline.lowering`, the
TF-MOT toolkit, a user) writes these two files; whoever compiles, prices, runs, scores or packages
it reads them and knows neither its network nor how it was trained.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from ethosu.vela.tflite.Model import Model
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from pipeline.artefacts import write_atomically, write_json
from pipeline.dsp import FrontEnd
from pipeline.runners import ModelInterface, TargetError, TensorSpec
from pipeline.runners.emulator import EmulatorRunner
from pipeline.runners.tflite import TfliteRunner

MemoryMode = Literal["Shared_Sram", "Sram_Only"]
MEMORY_MODES: tuple[MemoryMode, ...] = get_args(MemoryMode)
Producer = Literal["lowering", "tfmot"]
Count = Annotated[int, Field(ge=0)]
_NPU_OPERATOR = b"ethos-u"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class FrontEndRecord(_Record):
    """What makes features of audio, see `pipeline.dsp.FrontEnd`."""

    mean: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]
    deviation: tuple[Annotated[FiniteFloat, Field(gt=0)], ...]
    conditioned: bool = False

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if len(self.mean) != len(self.deviation):
            raise ValueError(
                f"mean has {len(self.mean)} values, deviation {len(self.deviation)}; expected one "
                "each of every band"
            )
        return self

    @classmethod
    def of(cls, front_end: FrontEnd) -> Self:
        """A front end as JSON data."""
        mean, deviation = (tuple(v.tolist()) for v in (front_end.mean, front_end.deviation))
        return cls(mean=mean, deviation=deviation, conditioned=front_end.conditioned)

    def open(self) -> FrontEnd:
        """The front end itself."""
        mean, deviation = (np.asarray(v, np.float32) for v in (self.mean, self.deviation))
        return FrontEnd(mean, deviation, self.conditioned)


class IntegerDifference(_Record):
    """Outputs of TFLite's reference kernels against TFLite Micro's, in steps of the integers."""

    values: Count
    mismatching: Count
    worst_lsb: Count


class MaskDifference(_Record):
    """Masks of the training graph against the TFLite model's, and the speech they give."""

    frames: Count
    mask_mean_abs: FiniteFloat
    mask_worst_abs: FiniteFloat
    si_sdr_keras_db: FiniteFloat
    si_sdr_tflite_db: FiniteFloat


class Comparison(_Record):
    """Both runtimes on the same inputs: what can be said of any model."""

    tflite_vs_tflm: IntegerDifference


# A network with a gate computes a share of the hops; others compute every hop and do not say so.
ComputedShare = Annotated[FiniteFloat, Field(gt=0.0, le=1.0, exclude_if=lambda share: share == 1.0)]


class Proof(Comparison):
    """That a model computes what was trained; bytes of the arena are those TFLite Micro needs.

    `computed_in_speech` and `computed_in_pauses` are the shares of the hops in which somebody
    speaks and of the others (`pipeline.lowering.proof.speaks`).
    """

    weights_equal_training: bool
    keras_vs_tflite: MaskDifference
    tflm_arena_bytes: Count
    computed_share: ComputedShare = 1.0
    computed_in_speech: ComputedShare = 1.0
    computed_in_pauses: ComputedShare = 1.0


class TensorRecord(_Record):
    """A tensor that goes in or comes out: real value = scale * (stored integer - zero_point)."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int

    @classmethod
    def of(cls, spec: TensorSpec) -> Self:
        """Of a runner's tensor."""
        return cls(
            name=spec.name,
            shape=spec.shape,
            dtype=spec.dtype.name,
            scale=spec.scale,
            zero_point=spec.zero_point,
        )


class Interface(_Record):
    """What a model takes and gives, in its own order; names tell roles, see `pipeline.runners`."""

    inputs: tuple[TensorRecord, ...]
    outputs: tuple[TensorRecord, ...]

    @classmethod
    def of(cls, model: ModelInterface) -> Self:
        """Of a model that a runner has opened."""
        inputs, outputs = (
            tuple(TensorRecord.of(spec) for spec in side.values())
            for side in (model.inputs, model.outputs)
        )
        return cls(inputs=inputs, outputs=outputs)


class Card(_Record):
    """What is known of a model beside its bytes; other fields of the file are ignored.

    Attributes:
        producer: what made the file; None: not on record.
        interface: of the file; None: not on record.
        front_end: of a model that takes features and gives a mask; None: it enhances no audio.
        memory_mode: Vela's, for which it is meant: where its weights lie on the NPU.
        proof: what it was compared with, and what came out; None: not on record.
    """

    producer: Producer | None = None
    interface: Interface | None = None
    front_end: FrontEndRecord | None = None
    memory_mode: MemoryMode = "Shared_Sram"
    proof: Proof | Comparison | None = None


def card_path(tflite: Path) -> Path:
    """Where the card of `<name>.tflite` lies: `<name>.card.json` beside it."""
    return tflite.with_suffix(".card.json")


@dataclass(frozen=True)
class Deployed:
    """A TFLite file, compiled by Vela or not, and its card.

    Attributes:
        tflite: the file; its stem is the model's name.
        card: an empty one if there is none beside it.
    """

    tflite: Path
    card: Card

    @classmethod
    def load(cls, tflite: Path) -> Self:
        """Open a file and the card beside it, if there is one.

        Raises:
            TargetError: no such file, another kind of file, or a card that is damaged or that of
                another model; the text names file and field.
        """
        path = card_path(tflite)
        try:
            card = Card.model_validate_json(path.read_bytes()) if path.exists() else Card()
        except OSError as error:
            raise TargetError(f"{path}: cannot be read ({error.strerror})") from error
        except ValidationError as error:
            problem = error.errors()[0]
            field = ".".join(str(part) for part in problem["loc"]) or "the file"
            raise TargetError(f"{path}: {field}: {problem['msg']}") from error
        deployed = cls(tflite, card)
        if not deployed.is_compiled and card.interface not in (None, deployed.interface):
            raise TargetError(
                f"{path}: interface: is not that of {tflite.name}; give the card of this model"
            )
        return deployed

    @classmethod
    def write(
        cls, tflite: Path, content: bytes, card: Card, more: Mapping[str, Any] | None = None
    ) -> Self:
        """Write a model and its card.

        Args:
            tflite: where the model goes; the card goes beside it.
            content: the model, integers in and out.
            card: its interface is taken from the model.
            more: what else to keep on record.
        """
        card = card.model_copy(update={"interface": Interface.of(TfliteRunner(content))})
        write_atomically(tflite, content)
        write_json(card_path(tflite), card.model_dump(mode="json") | dict(more or {}))
        return cls(tflite, card)

    @property
    def name(self) -> str:
        """Of the model."""
        return self.tflite.stem

    @cached_property
    def is_compiled(self) -> bool:
        """Whether it holds an operator that Vela made.

        Raises:
            TargetError: there is no file, or another kind of file.
        """
        try:
            content = self.tflite.read_bytes()
        except OSError as error:
            raise TargetError(f"{self.tflite}: cannot be read ({error.strerror})") from error
        if content[4:8] != b"TFL3":
            raise TargetError(f"{self.tflite}: not a TFLite file; convert the model to .tflite")
        try:
            graph = Model.GetRootAs(content, 0)
            codes = (graph.OperatorCodes(index) for index in range(graph.OperatorCodesLength()))
            return any(code.CustomCode() == _NPU_OPERATOR for code in codes)
        except (struct.error, IndexError, AttributeError, ValueError, TypeError) as error:
            raise TargetError(f"{self.tflite}: damaged TFLite file; export it again") from error

    @property
    def interface(self) -> Interface:
        """What it takes and gives, read from the file."""
        runner = EmulatorRunner if self.is_compiled else TfliteRunner
        return Interface.of(runner(self.tflite))

    @property
    def front_end(self) -> FrontEnd:
        """The front end it was trained with.

        Raises:
            TargetError: it has none.
        """
        if self.card.front_end is None:
            raise TargetError(
                f"{card_path(self.tflite)}: front_end is missing, without which {self.name} "
                "enhances no audio; python -m pipeline.boards.infer runs any model"
            )
        return self.card.front_end.open()
