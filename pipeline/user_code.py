"""A user's own function, named in a configuration."""

import importlib
from collections.abc import Callable
from typing import Any

from pipeline.errors import InputError


def function_at(place: str) -> Callable[[], Any]:
    """What ``module:function`` names; errors in the function itself are the user's to see whole.

    Raises:
        InputError: there is no such module or function; names the place.
    """
    module, _, name = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, SyntaxError, ValueError) as error:
        raise InputError(
            f"{place}: {error}; expected module:function, the module on PYTHONPATH"
        ) from error
    if not callable(found):
        raise InputError(f"{place} is {type(found).__name__}; expected a function")
    made: Callable[[], Any] = found
    return made
