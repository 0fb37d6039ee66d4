"""Pages in one file: templates, style and macros of this folder; to view them fetches nothing."""

import importlib.resources
from typing import Any

import jinja2
from markupsafe import Markup


def rendered(template: str, **values: Any) -> str:
    """A template of this folder as HTML text; a value it does not know is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(resource),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["svg"] = Markup
    style = Markup(resource("page.css"))
    return environment.get_template(template).render(style=style, **values)


def resource(name: str) -> str:
    """A text file of this folder."""
    return (importlib.resources.files(__package__) / name).read_text(encoding="utf-8")
