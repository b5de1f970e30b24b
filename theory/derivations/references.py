"""BibTeX of what derivations and commands rest on, by key."""

from __future__ import annotations

from collections.abc import Iterable

from theory import arguments

__all__ = ["REFERENCES", "bibtex"]

REFERENCES: dict[str, str] = {
    "kemeny1960finite": """@book{kemeny1960finite,
  author = {Kemeny, John G. and Snell, J. Laurie},
  title = {Finite Markov Chains},
  publisher = {Van Nostrand},
  year = {1960}
}""",
    "edelman2024evolution": """@article{edelman2024evolution,
  author = {Edelman, Ezra and Tsilivis, Nikolaos and Edelman, Benjamin L. and Malach, Eran and Goel, Surbhi},
  title = {The Evolution of Statistical Induction Heads: In-Context Learning Markov Chains},
  journal = {arXiv preprint arXiv:2402.11004},
  year = {2024}
}""",
}


def bibtex(keys: Iterable[str]) -> str:
    """The entries of `keys`, each once, in the order given."""
    return "\n\n".join(REFERENCES[arguments.one_of("reference", key, REFERENCES)] for key in dict.fromkeys(keys))
