"""Every method in a module of its own; all modules here are found and need no other mention."""

import functools
import importlib
import operator
import pkgutil
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.compression.method import Method

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def _settings(base: type[Method]) -> list[type[Method]]:
    """Classes with a `do` of their own, by name."""
    below = base.__subclasses__()
    found = [kind for kind in below if kind.model_fields["do"].annotation is not str]
    return sorted(
        {*found, *(kind for sub in below for kind in _settings(sub))}, key=lambda c: c.__name__
    )


METHODS = _settings(Method)
if TYPE_CHECKING:
    AnyMethod = Method
else:
    AnyMethod = Annotated[functools.reduce(operator.or_, METHODS), Field(discriminator="do")]
