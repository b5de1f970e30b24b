"""Figures drawn without being written."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def draw() -> Callable[..., None]:
    """Draw a module's figure of `data` in the shared style."""
    from matplotlib import pyplot as plt

    from onset.paper import style

    def drawn(figures: object, data: object) -> None:
        with style.styled():
            figure = figures.draw(data)
            figure.canvas.draw()
            plt.close(figure)

    return drawn
