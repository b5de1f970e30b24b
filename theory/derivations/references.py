"""BibTeX of what derivations and commands rest on, by key."""

from __future__ import annotations

from collections.abc import Iterable

from onset.theory import arguments

__all__ = ["REFERENCES", "USES", "bibtex"]

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
    "olsson2022context": """@article{olsson2022context,
  author = {Olsson, Catherine and Elhage, Nelson and Nanda, Neel and Joseph, Nicholas and DasSarma, Nova and others},
  title = {In-context Learning and Induction Heads},
  journal = {arXiv preprint arXiv:2209.11895},
  year = {2022}
}""",
    "kingma2014adam": """@article{kingma2014adam,
  author = {Kingma, Diederik P. and Ba, Jimmy},
  title = {{Adam}: A Method for Stochastic Optimization},
  journal = {arXiv preprint arXiv:1412.6980},
  year = {2014}
}""",
    "loshchilov2017decoupled": """@article{loshchilov2017decoupled,
  author = {Loshchilov, Ilya and Hutter, Frank},
  title = {Decoupled Weight Decay Regularization},
  journal = {arXiv preprint arXiv:1711.05101},
  year = {2017}
}""",
    "owen1998scrambling": """@article{owen1998scrambling,
  author = {Owen, Art B.},
  title = {Scrambling {Sobol}' and {Niederreiter--Xing} Points},
  journal = {Journal of Complexity},
  volume = {14},
  number = {4},
  pages = {466--489},
  year = {1998}
}""",
    "deville1992calibration": r"""@article{deville1992calibration,
  author = {Deville, Jean-Claude and S{\"a}rndal, Carl-Erik},
  title = {Calibration Estimators in Survey Sampling},
  journal = {Journal of the American Statistical Association},
  volume = {87},
  number = {418},
  pages = {376--382},
  year = {1992}
}""",
    "grassmann1985regenerative": """@article{grassmann1985regenerative,
  author = {Grassmann, Winfried K. and Taksar, Michael I. and Heyman, Daniel P.},
  title = {Regenerative Analysis and Steady State Distributions for {Markov} Chains},
  journal = {Operations Research},
  volume = {33},
  number = {5},
  pages = {1107--1116},
  year = {1985}
}""",
    "chan1999volume": """@article{chan1999volume,
  author = {Chan, Clara S. and Robbins, David P.},
  title = {On the Volume of the Polytope of Doubly Stochastic Matrices},
  journal = {Experimental Mathematics},
  volume = {8},
  number = {3},
  pages = {291--300},
  year = {1999}
}""",
    "hesterberg2015teachers": """@article{hesterberg2015teachers,
  author = {Hesterberg, Tim C.},
  title = {What Teachers Should Know About the Bootstrap: Resampling in the Undergraduate Statistics Curriculum},
  journal = {The American Statistician},
  volume = {69},
  number = {4},
  pages = {371--386},
  year = {2015}
}""",
    "whittle1955some": """@article{whittle1955some,
  author = {Whittle, P.},
  title = {Some Distribution and Moment Formulae for the {Markov} Chain},
  journal = {Journal of the Royal Statistical Society: Series B},
  volume = {17},
  number = {2},
  pages = {235--242},
  year = {1955}
}""",
    "rissanen1984universal": """@article{rissanen1984universal,
  author = {Rissanen, Jorma},
  title = {Universal Coding, Information, Prediction, and Estimation},
  journal = {IEEE Transactions on Information Theory},
  volume = {30},
  number = {4},
  pages = {629--636},
  year = {1984}
}""",
    "clarke1990information": """@article{clarke1990information,
  author = {Clarke, Bertrand S. and Barron, Andrew R.},
  title = {Information-Theoretic Asymptotics of {Bayes} Methods},
  journal = {IEEE Transactions on Information Theory},
  volume = {36},
  number = {3},
  pages = {453--471},
  year = {1990}
}""",
    "trefethen2014exponentially": """@article{trefethen2014exponentially,
  author = {Trefethen, Lloyd N. and Weideman, J. A. C.},
  title = {The Exponentially Convergent Trapezoidal Rule},
  journal = {SIAM Review},
  volume = {56},
  number = {3},
  pages = {385--458},
  year = {2014}
}""",
}

_MODEL = ("edelman2024evolution", "olsson2022context")
_CHAINS = ("grassmann1985regenerative", "chan1999volume")
_EXPECTATIONS = ("owen1998scrambling", "deville1992calibration")
_OPTIMISERS = ("kingma2014adam", "loshchilov2017decoupled")

USES: dict[str, tuple[str, ...]] = {
    "predict": (*_MODEL, *_CHAINS, *_EXPECTATIONS, "kingma2014adam"),
    "simulate": (*_MODEL, *_CHAINS),
    "train": (*_MODEL, *_CHAINS, *_OPTIMISERS, "hesterberg2015teachers"),
    **dict.fromkeys(
        ("validate", "figures", "report"),
        (*_MODEL, *_CHAINS, *_EXPECTATIONS, *_OPTIMISERS, "hesterberg2015teachers"),
    ),
}
"""Command by command, what it rests on, some of it only for certain priors and optimisers. A derivation names its own."""


def bibtex(keys: Iterable[str]) -> str:
    """The entries of `keys`, each once, in the order given."""
    return "\n\n".join(REFERENCES[arguments.one_of("reference", key, REFERENCES)] for key in dict.fromkeys(keys))
