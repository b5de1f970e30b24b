r"""Laws over transition matrices.

Every prior but a mixture is one map from independent uniforms to transition matrices. Sampling, quadrature and
quasi-Monte Carlo (`onset.theory.markov.expectations`) all use that map, so they cannot disagree about what the prior
is. A map may reject a point (weight zero): the law is then that of the accepted points.

All priors here are exchangeable: relabelling the states does not change the law.

References
----------
Edelman et al., arXiv 2402.11004 (the priors used in training).
Chan, Robbins, "On the volume of the polytope of doubly stochastic matrices", Experimental Mathematics 8 (1999):
the volumes against which the acceptance rate of `DoublyStochastic` is tested.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.markov.chains import stationary_from_logs
from onset.theory.markov.simplex import log_simplex, simplex

__all__ = [
    "LEAST_CONCENTRATION",
    "LEAST_OF_HIGHER_ORDER",
    "MOST_CONCENTRATION",
    "PRIORS",
    "Dirichlet",
    "DoublyStochastic",
    "MappedPrior",
    "Mixture",
    "Prior",
    "Unigram",
    "checked",
    "prior_from_dict",
    "prior_label",
    "prior_to_dict",
    "sample",
]


class MappedPrior(Protocol):
    """A prior that is one map from `dimension` uniforms to a matrix and a weight (zero: rejected).

    `kind` is its name in settings, `pseudo_count` what the ideal strategies add to counts, `order` the n of its chains,
    whose matrices have shape (k^{n-1}, k), see `onset.theory.markov.chains`. Settings with it are stored, and told
    apart, by the fields of a frozen dataclass, or else by what a method ``to_dict`` returns: plain data that the class
    takes as arguments. Theory asks that relabelling the symbols does not change its law, and samples it once to see
    (`onset.theory.markov.exchangeability`).
    """

    kind: ClassVar[str]

    @property
    def states(self) -> int: ...
    @property
    def order(self) -> int: ...
    @property
    def pseudo_count(self) -> float: ...
    @property
    def dimension(self) -> int: ...
    def transform(self, uniforms: Array) -> tuple[Array, Array]: ...


MOST_ROWS = 4096
"""Most rows of a transition matrix."""


LEAST_CONCENTRATION, MOST_CONCENTRATION = 1e-4, 1e6
"""Concentrations between which the maps are tested."""

LEAST_OF_HIGHER_ORDER = 0.03
"""Least concentration of chains of order n > 2.

A probability is below all doubles with probability e^{-708 α}, 6e-10 here, and two of them that leave a chain without a
stationary law of its own with its square.
"""

VANISHING = 1e-290
"""Probability below which a product of shares may have left the range of normal doubles, 2e-308."""

RARE, LEAST_SHARE = 1e-200, 1e-50
"""Probability of a rare move, see `_with_rare_moves`, and least share of one that leads to a given state."""


def _with_rare_moves(rows: Array, law: Array) -> Array:
    """Matrices `rows` whose stationary law is `law`, although some of their probabilities are below all doubles.

    With probability `RARE` the next state is drawn from the stationary law, which stays stationary: a chain that no
    double can move otherwise has its law, and no one waits long enough to see the difference.
    """
    return rows + RARE * np.maximum(law, LEAST_SHARE)[..., None, :]


def _normalised(rows: Array) -> Array:
    return rows / rows.sum(axis=-1, keepdims=True)


@dataclass(frozen=True)
class _Prior:
    """What priors of one map share: the number of states k, at least 2."""

    states: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "states", arguments.integer("states", self.states, least=2, most=MOST_ROWS))

    @property
    def pseudo_count(self) -> float:
        return 1.0


@dataclass(frozen=True)
class _DirichletRows(_Prior):
    """What priors of Dirichlet rows share: the concentration per entry, which is also the pseudo-count."""

    concentration: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        concentration = arguments.positive("concentration", self.concentration)
        if not LEAST_CONCENTRATION <= concentration <= MOST_CONCENTRATION:
            raise ValueError(
                f"concentration = {concentration:g}: expected a number from {LEAST_CONCENTRATION:g} to "
                f"{MOST_CONCENTRATION:g}; beyond, take chains that never move or rows that are all uniform."
            )
        object.__setattr__(self, "concentration", concentration)

    @property
    def pseudo_count(self) -> float:
        return self.concentration


class _FirstOrder:
    """Chains in which the next symbol depends on the last alone."""

    @property
    def order(self) -> int:
        return 2


@dataclass(frozen=True)
class Dirichlet(_DirichletRows):
    """Independent rows, each Dirichlet with `concentration` per entry (flat: 1).

    Parameters
    ----------
    states : int
        Number of symbols k, at least 2.
    concentration : float
        Per entry, from `LEAST_CONCENTRATION` to `MOST_CONCENTRATION`; sampled from `LEAST_OF_HIGHER_ORDER` on if n > 2.
    order : int
        n of an n-gram: one row for each history of the last n - 1 symbols; 2 for a Markov chain.
    """

    order: int = 2
    kind: ClassVar[str] = "dirichlet"

    def __post_init__(self) -> None:
        super().__post_init__()
        order = arguments.integer("order", self.order, least=2, most=1 + MOST_ROWS.bit_length())
        object.__setattr__(self, "order", order)
        if self.states ** (self.order - 1) > MOST_ROWS:
            raise ValueError(
                f"order = {self.order} with states = {self.states}: expected at most {MOST_ROWS} histories, "
                f"but there are {self.states}^{self.order - 1}; lower one of them."
            )

    @property
    def dimension(self) -> int:
        return self.states ** (self.order - 1) * (self.states - 1)

    def transform(self, uniforms: Array) -> tuple[Array, Array]:
        if self.order > 2 and self.concentration < LEAST_OF_HIGHER_ORDER:
            raise ValueError(
                f"concentration = {self.concentration:g} with order = {self.order}: expected at least "
                f"{LEAST_OF_HIGHER_ORDER:g}, below which transition probabilities leave the range of doubles; "
                "raise the concentration, or take order = 2."
            )
        shape = (*uniforms.shape[:-1], self.states ** (self.order - 1), self.states - 1)
        by_row = uniforms.reshape(shape)
        rows = _normalised(simplex(by_row, self.concentration))
        if self.order == 2 and (vanishing := rows.min(axis=(-1, -2)) < VANISHING).any():
            law = stationary_from_logs(log_simplex(by_row[vanishing], self.concentration))
            rows[vanishing] = _with_rare_moves(rows[vanishing], law)
        return rows, np.ones(uniforms.shape[:-1])


@dataclass(frozen=True)
class DoublyStochastic(_FirstOrder, _Prior):
    r"""Doubly stochastic matrices: the stationary law is uniform and unigram counts carry no signal.

    For k ≤ 6 the law is *uniform on the Birkhoff polytope*: the first k-1 rows are uniform on the simplex, the last row
    completes the columns, and a negative entry rejects the matrix (accepted: 1/2 at k = 3, .21 at 4, .075 at 5, .024 at
    6). For k > 6 the law is *flat Dirichlet rows balanced by Sinkhorn's iteration*, as in the published experiments; it
    is not uniform.

    Parameters
    ----------
    states : int
        Number of symbols k, at least 2.
    """

    kind: ClassVar[str] = "doubly-stochastic"
    uniform_up_to: ClassVar[int] = 6

    @property
    def dimension(self) -> int:
        rows = self.states - 1 if self.states <= self.uniform_up_to else self.states
        return rows * (self.states - 1)

    def transform(self, uniforms: Array) -> tuple[Array, Array]:
        k = self.states
        rows = _normalised(simplex(uniforms.reshape(*uniforms.shape[:-1], -1, k - 1), 1.0))
        if k > self.uniform_up_to:
            return _sinkhorn(rows), np.ones(uniforms.shape[:-1])
        last = 1 - rows.sum(axis=-2, keepdims=True)
        matrices = np.concatenate([rows, last], axis=-2)
        accepted = np.all(last >= 0, axis=(-1, -2))
        matrices = np.where(accepted[..., None, None], matrices, 1 / k)
        return matrices, accepted.astype(np.float64)


def _sinkhorn(matrices: Array, sweeps: int = 1000) -> Array:
    tolerance = matrices.shape[-1] * np.finfo(np.float64).eps
    for _ in range(sweeps):
        matrices = matrices / matrices.sum(axis=-2, keepdims=True)
        matrices = _normalised(matrices)
        if np.max(np.abs(matrices.sum(axis=-2) - 1)) < tolerance:
            break
    return matrices


@dataclass(frozen=True)
class Unigram(_FirstOrder, _DirichletRows):
    """Chains without memory: all rows equal one Dirichlet draw, so that the unigram strategy is ideal.

    Parameters
    ----------
    states : int
        Number of symbols k, at least 2.
    concentration : float
        Per entry, from `LEAST_CONCENTRATION` to `MOST_CONCENTRATION`.
    """

    kind: ClassVar[str] = "unigram"

    @property
    def dimension(self) -> int:
        return self.states - 1

    def transform(self, uniforms: Array) -> tuple[Array, Array]:
        row = _normalised(simplex(uniforms, self.concentration))
        if (vanishing := row.min(axis=-1) < VANISHING).any():
            row[vanishing] = _with_rare_moves(row[vanishing, None], row[vanishing])[:, 0]
        rows = np.repeat(row[..., None, :], self.states, axis=-2)
        return rows, np.ones(uniforms.shape[:-1])


@dataclass(frozen=True)
class Mixture:
    """Each chain comes from one of several priors.

    Parameters
    ----------
    components : tuple of priors over the same states
    weights : tuple of float
        Probability of each component; positive, summing to one.
    """

    components: tuple[Prior, ...]
    weights: tuple[float, ...]
    kind: ClassVar[str] = "mixture"

    def __post_init__(self) -> None:
        object.__setattr__(self, "components", arguments.items("components", self.components))
        weights = tuple(arguments.positive("weights", weight) for weight in arguments.items("weights", self.weights))
        object.__setattr__(self, "weights", weights)
        if len(self.components) != len(self.weights) or not self.components:
            raise ValueError(
                f"mixture has {len(self.components)} components and {len(self.weights)} weights: "
                "expected one weight per component; give as many of both."
            )
        for name in ("states", "order"):
            values = [getattr(component, name) for component in self.components]
            if len(set(values)) != 1:
                raise ValueError(
                    f"mixture components have {name} {arguments.shown(values)}: expected one {name} for all; "
                    "give all components the same."
                )
        if abs(sum(self.weights) - 1) > len(self.weights) * np.finfo(np.float64).eps:
            raise ValueError(
                f"mixture weights {arguments.shown(self.weights)} sum to {sum(self.weights):g}: expected a sum of one; "
                "divide each by the sum."
            )

    @property
    def parts(self) -> tuple[tuple[float, Prior], ...]:
        """Probability and prior of each component."""
        return tuple(zip(self.weights, self.components, strict=True))

    @property
    def states(self) -> int:
        return self.components[0].states

    @property
    def order(self) -> int:
        return self.components[0].order

    @property
    def pseudo_count(self) -> float:
        return 1.0


Prior = MappedPrior | Mixture
"""Any prior."""

PRIORS: dict[str, type] = {cls.kind: cls for cls in (Dirichlet, DoublyStochastic, Unigram, Mixture)}
"""The one place where a prior is registered: its `kind` is its name in settings and on the command line."""


def sample(prior: Prior, generator: np.random.Generator, count: int) -> Array:
    """Draw `count` independent transition matrices, shape (count, k^{n-1}, k)."""
    if isinstance(prior, Mixture):
        chosen = np.searchsorted(np.cumsum(prior.weights)[:-1], generator.random(count), side="right")
        matrices = np.empty((count, prior.states ** (prior.order - 1), prior.states))
        for c, component in enumerate(prior.components):
            matrices[chosen == c] = sample(component, generator, int((chosen == c).sum()))
        return matrices
    accepted = np.empty((0, prior.states ** (prior.order - 1), prior.states))
    while True:
        matrices, weights = prior.transform(generator.random((max(count - len(accepted), 1), prior.dimension)))
        accepted = np.concatenate([accepted, matrices[weights > 0]])
        if len(accepted) >= count:
            return accepted[:count]


def checked(name: str, prior: Any) -> Any:
    """Return `prior`, or raise ``ValueError`` unless it has what `MappedPrior` lists, can be stored and compared."""
    lacking = [part for part in ("kind", "states", "order", "pseudo_count") if not hasattr(prior, part)]
    if not isinstance(prior, Mixture):
        lacking += [part for part in ("dimension", "transform") if not hasattr(prior, part)]
    if lacking:
        raise ValueError(
            f"{name} = {arguments.shown(prior)}: it has no {' and no '.join(lacking)}; expected a prior, see "
            "onset.theory.markov.priors.MappedPrior."
        )
    stored = hasattr(prior, "to_dict") or (dataclasses.is_dataclass(prior) and not isinstance(prior, type))
    if not stored or type(prior).__hash__ in (None, object.__hash__):
        raise ValueError(
            f"{name} = {arguments.shown(prior)}: expected a prior with equality, a hash and plain data of its own; "
            f"make {type(prior).__name__} a frozen dataclass, or give it __eq__, __hash__ and to_dict."
        )
    return prior


def prior_to_dict(prior: Prior) -> dict[str, Any]:
    """Plain data of a prior; the order is left out where it is 2, so that ids and files from before it existed stay."""
    if isinstance(prior, Mixture):
        components = [prior_to_dict(component) for component in prior.components]
        return {"kind": prior.kind, "components": components, "weights": list(prior.weights)}
    of_its_own = getattr(prior, "to_dict", None)
    fields = dataclasses.asdict(prior) if of_its_own is None else of_its_own()  # type: ignore[call-overload]
    entries = {"kind": prior.kind} | dict(fields)
    if prior.order == 2:
        entries.pop("order", None)
    return entries


def prior_from_dict(data: Any) -> Prior:
    """The prior that `prior_to_dict` wrote; by default flat Dirichlet rows over two states.

    Raises
    ------
    ValueError
        If the kind or an entry is unknown, or a value out of range.
    """
    entries = dict(arguments.table("prior", data))
    kind: Any = PRIORS[arguments.one_of("prior", entries.pop("kind", Dirichlet.kind), PRIORS)]
    if kind is Mixture:
        components = arguments.items("components", entries.get("components", ()))
        entries["components"] = tuple(prior_from_dict(arguments.table("component", c)) for c in components)
    elif "states" not in entries:
        entries["states"] = 2
    where = f"prior {kind.kind!r}"
    if dataclasses.is_dataclass(kind):
        return arguments.made_from(where, kind, entries)  # type: ignore[arg-type]
    try:
        return kind(**entries)
    except TypeError as problem:
        raise ValueError(f"{where}: {problem}; give the entries of its to_dict.") from problem


def prior_label(prior: Prior) -> str:
    """Short name of a prior for tables and figures."""
    if isinstance(prior, Mixture):
        return " + ".join(f"{weight:g} {prior_label(component)}" for weight, component in prior.parts)
    concentration = getattr(prior, "concentration", 1.0)
    suffix = "" if concentration == 1.0 else f"({concentration:g})"
    return f"{prior.kind}{suffix}" + ("" if prior.order == 2 else f" n={prior.order}")
