"""Shape of the transformer, and the shapes of published models by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from onset.theory import arguments

__all__ = ["POSITIONS", "PRESETS", "Architecture"]

POSITIONS = ("relative", "bias", "rotary", "learned")
"""Kinds of position encoding.

relative: a vector per offset that meets the query (Shaw et al., arXiv 1803.02155; the published model). bias: a scalar
per offset (T5, arXiv 1910.10683, one bucket per offset). rotary: rotated queries and keys (arXiv 2104.09864). learned:
a vector per position added to the embedding.
"""


@dataclass(frozen=True)
class Architecture:
    """Shape of the transformer; the defaults are the published ones (arXiv 2402.11004, released code).

    Parameters
    ----------
    layers, width : int
        `width` is d.
    heads : int or sequence of int
        Heads per layer: one number for all layers, or one for each; a layer's heads split the width.
    dropout : float
        Probability in [0, 1), on embeddings, attention, residual and relative-position vectors.
    positions : {"relative", "bias", "rotary", "learned"}
        See `POSITIONS`.
    norm : bool
        LayerNorm before each branch and at the end.
    feed_forward : int
        Hidden units of the feed-forward branch of each layer, as a multiple of the width; 0 for attention only.
    tied : bool
        The embedding is also the head.
    smeared : bool
        Keys are mixed with those of the token before, by one learned share per head (Olsson et al., arXiv 2209.11895).
    even : bool
        The shares of smeared keys stay at one half, as a control.
    previous : bool
        Layer 1 attends to the previous token alone, whatever its weights, as a control: half of an induction circuit is
        given.

    Raises
    ------
    ValueError
        Naming the field.
    """

    layers: int = 2
    width: int = 16
    heads: int | tuple[int, ...] = 1
    dropout: float = 0.1
    positions: str = "relative"
    norm: bool = True
    feed_forward: int = 0
    tied: bool = False
    smeared: bool = False
    even: bool = False
    previous: bool = False

    def __post_init__(self) -> None:
        for name, least, most in (("layers", 1, 1000), ("width", 1, 2**20), ("feed_forward", 0, 1000)):
            object.__setattr__(self, name, arguments.integer(name, getattr(self, name), least=least, most=most))
        for name in ("norm", "tied", "smeared", "even", "previous"):
            arguments.flag(name, getattr(self, name))
        if self.even and not self.smeared:
            raise ValueError("even = True: expected smeared = True, whose shares stay even; set both or neither.")
        arguments.one_of("positions", self.positions, POSITIONS)
        object.__setattr__(self, "dropout", arguments.real("dropout", self.dropout))
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout = {self.dropout}: expected a probability in [0, 1); give 0 for none.")
        self._check_heads()

    def _check_heads(self) -> None:
        by_layer = isinstance(self.heads, Sequence) and not isinstance(self.heads, str)
        given = tuple(self.heads) if by_layer else (self.heads,)  # type: ignore[arg-type]
        heads = tuple(arguments.integer("heads", number, least=1) for number in given)
        if by_layer and len(heads) != self.layers:
            raise ValueError(
                f"heads = {arguments.shown(list(heads))} for layers = {self.layers}: expected one number, "
                "or one for each layer."
            )
        for number in heads:
            if self.width % number:
                raise ValueError(
                    f"width = {self.width} does not split into heads = {number}: expected a multiple; "
                    f"give width = {number * -(-self.width // number)}."
                )
            if self.positions == "rotary" and self.width // number % 2:
                raise ValueError(
                    f"positions = 'rotary' with width = {self.width} and heads = {number}: expected an even width of "
                    f"each head, since entries turn in pairs; give width = {2 * self.width}."
                )
        # One number where all layers have the same, so that equal shapes compare equal.
        object.__setattr__(self, "heads", heads[0] if len(set(heads)) == 1 else heads)

    @property
    def heads_of(self) -> tuple[int, ...]:
        """Number of heads of each layer, the first layer first."""
        return (self.heads,) * self.layers if isinstance(self.heads, int) else self.heads

    @property
    def label(self) -> str:
        """Short name for tables and figures: layers, width, heads, and what else differs from the defaults."""
        default = Architecture()
        others = []
        for name, value in asdict(self).items():
            if name not in ("layers", "width", "heads") and value != getattr(default, name):
                word = name.replace("_", "-")
                others.append(word if value is True else f"no {word}" if value is False else f"{word}={value}")
        heads = self.heads if isinstance(self.heads, int) else "+".join(map(str, self.heads))
        return " ".join([f"{self.layers}L d={self.width} H={heads}", *others])

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers; fields that came later only where they are not at their defaults, so that older ids stay."""
        always, default = ("layers", "width", "heads", "dropout"), asdict(Architecture())
        entries = {name: value for name, value in asdict(self).items() if name in always or value != default[name]}
        return entries | {"heads": list(self.heads) if isinstance(self.heads, tuple) else self.heads}


def published(heads: int) -> Architecture:
    """Two attention layers with `heads` heads of width 16 in the first and one in the second (arXiv 2402.11004).

    For chains of order n it has n - 1 heads, one for each lag.
    """
    return Architecture(width=16 * heads, heads=(heads, 1))


PRESETS: dict[str, Callable[[int], Architecture]] = {
    "published": published,
    "one-head": lambda heads: Architecture(width=16 * heads),
    "one-layer": lambda heads: Architecture(layers=1, width=16 * heads),
    "feed-forward": lambda heads: Architecture(width=16 * heads, heads=(heads, 1), feed_forward=4),
    "smeared": lambda heads: Architecture(layers=1, width=16 * heads, smeared=True),
}
"""Architectures by name, as functions of the number of layer-1 heads that the task needs.

They differ from `published` in what their name says. The feed-forward branch is that of the released code; the
one-layer model with smeared keys is that of arXiv 2209.11895 at this width.
"""
