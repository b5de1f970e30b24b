"""Onset: when a model changes from one in-context strategy to the next, predicted and checked; and the heads behind it.

    >>> import onset
    >>> setting = onset.Setting.of("linear", states=3, context=50)
    >>> (to_unigram, to_bigram), formation = onset.predict(setting, "mean-field").transitions()
    >>> print(f"bigram at step {to_bigram.step:.0f}, previous-token head at step {formation.step:.0f}")
    bigram at step 192, previous-token head at step 133

Every name below is imported when it is first used, so that ``import onset`` costs nothing. What stands behind them is
importable too: `onset.theory`, `onset.simulate`, `onset.validate` (needs the extra ``train``) and `onset.paper`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onset.command_line import main
    from onset.simulate.explain import explain
    from onset.simulate.losses import strategy_losses
    from onset.simulate.predict import predict
    from onset.simulate.scan import grid
    from onset.theory.architecture import Architecture
    from onset.theory.derivations import get as derive
    from onset.theory.markov.priors import Dirichlet
    from onset.theory.setting import Setting
    from onset.validate.heads.scoring import inspect
    from onset.validate.store.listing import list_runs
    from onset.validate.sweeps.scan import run as scan
    from onset.validate.training import train

    __version__: str

_HOME = {
    "Architecture": "onset.theory.architecture",
    "Dirichlet": "onset.theory.markov.priors",
    "Setting": "onset.theory.setting",
    "derive": ("onset.theory.derivations", "get"),
    "explain": "onset.simulate.explain",
    "grid": "onset.simulate.scan",
    "inspect": "onset.validate.heads.scoring",
    "list_runs": "onset.validate.store.listing",
    "main": "onset.command_line",
    "predict": "onset.simulate.predict",
    "scan": ("onset.validate.sweeps.scan", "run"),
    "strategy_losses": "onset.simulate.losses",
    "train": "onset.validate.training",
}
"""Module of each name of the facade, with its name there where that differs."""

__all__ = [
    "Architecture",
    "Dirichlet",
    "Setting",
    "__version__",
    "derive",
    "explain",
    "grid",
    "inspect",
    "list_runs",
    "main",
    "predict",
    "scan",
    "strategy_losses",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("icl-onset")
    elif name in _HOME:
        home = _HOME[name]
        module, attribute = home if isinstance(home, tuple) else (home, name)
        value = getattr(import_module(module), attribute)
    else:
        raise AttributeError(f"module 'onset' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
