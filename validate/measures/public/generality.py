"""Whether heads that copy literally also match what is only alike: translated words, categories, inexact prefixes.

A sequence has targets: to what a head should attend at a query if it matches more than equal tokens.

    translation   words in lower case, then the same words with a capital: at a capitalised word the word that followed
                  it in the first list
    categories    pairs of words, the first of which tells by its category that of the second (a month, then an animal;
                  a colour, then a fruit; …), in random order, all words different: at the first word of a pair the
                  second words of earlier pairs with a first word of the same category
    inexact       random tokens twice, every third token of the second copy replaced by another one: at a replaced token
                  what followed the one that it replaces

The control is the attention to the same positions in sequences that have nothing alike: other words, words of random
categories, other tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from onset.theory.recording import Progress
from onset.validate.inspection.measuring import attended
from onset.validate.measures.public.ablation import induction_heads, plain_heads

if TYPE_CHECKING:
    from onset.validate.models.loading import LanguageModel

__all__ = ["KINDS", "Drawn", "measure"]

SEQUENCES = 32
"""Sequences of each kind."""

WORDS, PAIRS, TOKENS = 24, 20, 36
"""Words of a list, pairs of words, and tokens of a copy."""

EVERY = 3
"""One in so many tokens of a second copy is replaced."""

CATEGORIES = {
    "month": "January February March April May June July August September October November December",
    "animal": "dog cat horse cow pig sheep goat bird fish bear wolf lion tiger fox rabbit mouse duck snake deer frog",
    "colour": "red blue green yellow black white brown orange purple pink gray golden",
    "fruit": "apple banana grape lemon peach cherry berry melon mango plum pear",
    "country": "France Germany Italy Spain China Japan India Brazil Canada Mexico Egypt Russia Greece Poland Turkey",
    "number": "one two three four five six seven eight nine ten twelve twenty thirty fifty hundred thousand",
    "body": "hand head foot arm leg eye ear nose mouth heart brain skin bone blood finger knee neck shoulder",
    "metal": "iron gold copper steel lead zinc tin aluminum silver nickel mercury brass bronze",
}
"""Words by category; those that are one token, with a space before them, are used."""

FOLLOWS = {"month": "animal", "colour": "fruit", "country": "number", "body": "metal"}
"""Category of the second word of a pair by that of the first."""

LISTED = (
    "time year people way day man thing woman life child world school state family student group country problem hand "
    "part place case week company system program question work government number night point home water room mother "
    "area money story fact month book eye job word business issue side kind head house service friend father power "
    "hour game line end member law car city community name president team minute idea body information back parent "
    "face level office door health person art war history party result change morning reason research girl guy moment "
    "air teacher force education foot boy age policy music market sense nation plan college interest death experience"
)
"""Common nouns."""


class Drawn(NamedTuple):
    """A sequence and its control, each (T,), and the targets (T, T) of its queries."""

    tokens: NDArray[np.int64]
    control: NDArray[np.int64]
    targets: NDArray[np.bool_]


def measure(model: LanguageModel, seed: int, progress: Progress) -> dict[str, Any]:
    """`heads`: the induction heads; `scores`: of each kind, `excess` of the attention to targets over that of
    the control, by layer and head."""
    heads = induction_heads(model, seed)
    scores = {}
    for number, (kind, draw) in enumerate(KINDS.items()):
        generator = np.random.default_rng((seed, number))
        drawn = [draw(model, generator) for _ in range(SEQUENCES)]
        tokens, control, targets = (torch.from_numpy(np.stack(rows)) for rows in zip(*drawn, strict=True))
        shares = targets / targets.any(dim=-1).sum(dim=1)[:, None, None]
        values, others = (attended(model.model, rows, shares) for rows in (tokens, control))
        scores[kind] = {"excess": (values - others).mean(dim=0).double().cpu().numpy().tolist()}
        progress(number + 1, len(KINDS))
    return {"heads": plain_heads(heads), "scores": scores}


def _one_token(model: LanguageModel, words: Sequence[str]) -> dict[str, int]:
    """Token of each word with a space before it, of those that are one token."""
    if model.tokenizer is None:
        raise ValueError(f"model {model.name}: it has no tokenizer; expected one for words.")
    encoded = [model.tokenizer.encode(f" {word}", add_special_tokens=False) for word in words]
    return {word: tokens[0] for word, tokens in zip(words, encoded, strict=True) if len(tokens) == 1}


def _translation(model: LanguageModel, generator: np.random.Generator) -> Drawn:
    words = LISTED.split()
    lower, upper = _one_token(model, words), _one_token(model, [word.capitalize() for word in words])
    both = [word for word in words if word in lower and word.capitalize() in upper]
    chosen = generator.choice(both, 2 * WORDS, replace=False)
    first, others = chosen[:WORDS], chosen[WORDS:]
    lists = [[upper[word.capitalize()] for word in listed] for listed in (first, others)]
    targets = np.zeros((2 * WORDS, 2 * WORDS), dtype=bool)
    for place in range(WORDS - 1):
        targets[WORDS + place, place + 1] = True
    start = [lower[word] for word in first]
    tokens, control = (np.array(start + listed, dtype=np.int64) for listed in lists)
    return Drawn(tokens, control, targets)


def _categories(model: LanguageModel, generator: np.random.Generator) -> Drawn:
    left = {
        name: generator.permutation(list(_one_token(model, words.split()).values())).tolist()
        for name, words in CATEGORIES.items()
    }
    everything = generator.permutation(list(dict.fromkeys(token for tokens in left.values() for token in tokens)))
    tokens: list[int] = []
    categories: list[str] = []
    while len(categories) < PAIRS and (free := [n for n, second in FOLLOWS.items() if left[n] and left[second]]):
        name = str(generator.choice(free))
        tokens += [left[name].pop(), left[FOLLOWS[name]].pop()]
        categories.append(name)
    targets = np.zeros((2 * PAIRS, 2 * PAIRS), dtype=bool)
    for later, name in enumerate(categories):
        for earlier in range(later):
            targets[2 * later, 2 * earlier + 1] = categories[earlier] == name
    return Drawn(np.array(tokens, dtype=np.int64), everything[: 2 * PAIRS].astype(np.int64), targets)


def _inexact(model: LanguageModel, generator: np.random.Generator) -> Drawn:
    drawn = generator.choice(model.pool.tokens, 2 * TOKENS + TOKENS // EVERY, replace=False).astype(np.int64)
    first, others, replacing = np.split(drawn, [TOKENS, 2 * TOKENS])
    second = first.copy()
    # The last one has nothing after it in the first copy but the second.
    places = np.arange(EVERY - 1, TOKENS - 1, EVERY)
    second[places] = replacing[: len(places)]
    targets = np.zeros((2 * TOKENS, 2 * TOKENS), dtype=bool)
    targets[TOKENS + places, places + 1] = True
    return Drawn(np.concatenate([first, second]), np.concatenate([first, others]), targets)


KINDS: dict[str, Callable[[LanguageModel, np.random.Generator], Drawn]] = {
    "translation": _translation,
    "categories": _categories,
    "inexact prefixes": _inexact,
}
"""Sequences by kind."""
