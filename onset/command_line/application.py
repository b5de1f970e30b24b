"""The application with which commands register, and types of options that several commands share."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

__all__ = ["Flag", "Json", "Names", "app"]


def _version() -> str:
    import onset

    return onset.__version__


app = App(
    name="onset",
    help="Predict, in optimiser steps and with error bars, when a model passes from one in-context strategy "
    "to the next; then check it against training.",
    help_format="plaintext",
    version=_version,
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,  # `onset.command_line.main` reports it
)

Flag = Annotated[bool, Parameter(negative=())]
Json = Annotated[bool, Parameter(name="--json", negative=())]
Names = Annotated[tuple[str, ...], Parameter(consume_multiple=1, negative=())]
