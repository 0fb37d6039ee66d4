"""What all sections of the settings have in common, and the kinds of number in them."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Settings that belong together; none can be changed, and none but these is known."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    once = set()
    for value in values:
        if value in once:
            raise ValueError(f"{value!r} is given twice")
        once.add(value)
    return values


Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Distinct = AfterValidator(_distinct)
