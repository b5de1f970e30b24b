r"""The task of natural text: chunks of T + 1 tokens of a corpus that is split by document.

Tokens are those of a byte-level byte-pair encoding with V tokens, trained on the documents that are trained on
(`onset.simulate.language`). What comes next is known of a corpus alone, so that the true law of a position is the token
that stands there, and the losses of the strategies are measured, not computed:

    uniform   1/V for each token
    unigram   frequencies of the tokens in the documents that are trained on
    repeat    where the current token has an earlier copy in the chunk, the latest one's successor with a share w and
              unigram with 1 - w; else unigram; w is the best one on the documents that are trained on
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from onset.theory import arguments, tasks
from onset.theory.entries import entry
from onset.theory.expectation import Expectation

__all__ = ["Text"]

BYTES = 256
"""Tokens that a byte-level encoding has at least."""


def _named(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(
            f"{name} = {arguments.shown(value)}: expected the name of a corpus, a folder, a file, or "
            "package:NAME/PATTERN."
        )
    return value


def _share(name: str, value: object) -> float:
    if not 0 < (share := arguments.real(name, value)) < 1:
        raise ValueError(f"{name} = {arguments.shown(value)}: expected a share of the documents between 0 and 1.")
    return share


@tasks.register
@dataclass(frozen=True)
class Text(tasks.Task):
    """Natural text.

    Parameters
    ----------
    corpus : str
        A name in `onset.simulate.language.corpora.CORPORA`; a folder, whose text files are the documents; a text file,
        whose parts between form feeds are; or "package:NAME/PATTERN" for files of an installed package.
    vocabulary : int
        V.
    context : int
        T: tokens the model sees; a chunk has T + 1.
    held_out : float
        Share of the documents, at least one, on which models are measured and never trained.
    shuffled : bool
        Whether the tokens of each chunk stand in random order, so that nothing but their number tells what comes next:
        a control.
    """

    corpus: str = entry("shakespeare", check=_named)
    vocabulary: int = entry(2048, check=partial(arguments.integer, least=BYTES + 1, most=65536))  # type: ignore[assignment]
    context: int = entry(128, check=partial(arguments.integer, least=2, most=10**5))
    held_out: float = entry(0.1, check=_share)
    shuffled: bool = entry(False, check=arguments.flag, optional=True)

    kind: ClassVar[str] = "text"

    @property
    def strategies(self) -> tuple[str, ...]:
        return "uniform", "unigram", "repeat"

    @property
    def label(self) -> str:
        name = Path(self.corpus).stem + " shuffled" * self.shuffled
        return f"text {name} V={self.vocabulary} T={self.context}"

    @property
    def lags(self) -> tuple[int, ...]:
        return (1,)

    def expected_loss(self, strategy: str, *, tolerance: float = 2e-3, seed: int = 0) -> Expectation:
        arguments.one_of("strategy", strategy, self.strategies)
        raise ValueError(
            f"task {self.label}: the expected loss of {strategy!r} has no closed form on natural text; measure it with "
            "onset simulate."
        )
