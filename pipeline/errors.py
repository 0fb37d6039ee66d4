"""Failures that are foreseen: their text names what is wrong and how to mend it.

A command line shows them as one line; any other exception is a fault of the program and keeps its
traceback (see `pipeline.cli`).
"""


class PipelineError(Exception):
    """Base of all that are foreseen."""


class InputError(PipelineError, ValueError):
    """A file, a folder or a setting that was given cannot be used."""
