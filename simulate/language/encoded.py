"""Tokens of a corpus: a byte-level byte-pair encoding, trained once and kept with the tokens in the user's cache.

The encoding and the frequencies of the tokens come from the documents that are trained on alone. Tokens are memory
mapped: processes share them, and a corpus may be larger than memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onset.simulate import user_cache
from onset.simulate.language import corpora
from onset.simulate.language.corpora import Document, documents
from onset.theory.arrays import Array
from onset.theory.language.text import Text

__all__ = ["Encoded", "Part", "encoded", "of_task"]

FORMAT = 1

TOKENIZER, FREQUENCIES = "tokenizer.json", "frequencies.npy"


@dataclass(frozen=True)
class Part:
    """Tokens of documents, one after the other.

    Attributes
    ----------
    tokens : array of int, shape (n,)
    ends : array of int, shape (documents,)
        Where each document ends.
    """

    tokens: NDArray[np.uint16]
    ends: NDArray[np.int64]

    def starts(self, length: int) -> NDArray[np.int64]:
        """Number of starts of chunks of a length that lie within one document, summed over documents up to each."""
        sizes = np.diff(self.ends, prepend=0)
        return np.cumsum(np.maximum(sizes - length + 1, 0))


@dataclass(frozen=True)
class Encoded:
    """A corpus in tokens.

    Attributes
    ----------
    train, held_out : Part
    frequencies : array, shape (V,)
        Of the tokens in `train`, each counted once more than it occurs; they sum to one.
    tokenizer : Path
        File of the encoding, as the package `tokenizers` reads it.
    """

    train: Part
    held_out: Part
    frequencies: Array
    tokenizer: Path


@lru_cache(maxsize=4)
def encoded(corpus: str, vocabulary: int, held_out: float) -> Encoded:
    """Tokens of a corpus; made when they are first asked for.

    Parameters
    ----------
    corpus, vocabulary, held_out
        As in `onset.theory.language.text.Text`.

    Raises
    ------
    ValueError
        If the corpus cannot be read or is too small for the vocabulary, or `tokenizers` is not installed.
    """
    texts = documents(corpus)
    key = hashlib.sha256(json.dumps([FORMAT, vocabulary, held_out]).encode())
    for document in texts:
        key.update(document.name.encode() + b"\0" + document.text.encode() + b"\0")
    folder = user_cache.made_once(
        f"texts/{key.hexdigest()[:24]}", lambda folder: _make(folder, texts, vocabulary, held_out, corpus)
    )

    def part(name: str) -> Part:
        return Part(np.load(folder / f"{name}.npy", mmap_mode="r"), np.load(folder / f"{name}-ends.npy"))

    return Encoded(part("train"), part("held_out"), np.load(folder / FREQUENCIES), folder / TOKENIZER)


def of_task(task: Text) -> Encoded:
    """Tokens of a task's corpus."""
    return encoded(task.corpus, task.vocabulary, task.held_out)


def _make(folder: Path, whole: Sequence[Document], vocabulary: int, share: float, corpus: str) -> None:
    """Write the encoding of a corpus and its tokens into a folder."""
    train, held_out = _split(whole, share)
    tokenizer = _trained([document.text for document in train], vocabulary, corpus)
    tokenizer.save(str(folder / TOKENIZER))
    for name, chosen in (("train", train), ("held_out", held_out)):
        rows = [encoding.ids for encoding in tokenizer.encode_batch([document.text for document in chosen])]
        np.save(folder / f"{name}.npy", np.concatenate(rows).astype(np.uint16))
        np.save(folder / f"{name}-ends.npy", np.cumsum([len(row) for row in rows]))
        if name == "train":
            counts = 1 + np.bincount(np.concatenate(rows), minlength=vocabulary)
            np.save(folder / FREQUENCIES, counts / counts.sum())


def _split(whole: Sequence[Document], share: float) -> tuple[list[Document], list[Document]]:
    """Documents to train on and those held out: about a share of their text, at random by their names, at least one."""
    order = sorted(whole, key=lambda document: hashlib.sha256(document.name.encode()).digest())
    sizes = np.cumsum([len(document.text) for document in order])
    number = min(max(1, int(np.searchsorted(sizes, share * sizes[-1], side="right"))), len(order) - 1)
    chosen = {document.name for document in order[:number]}
    return [d for d in whole if d.name not in chosen], [d for d in whole if d.name in chosen]


def _trained(texts: Sequence[str], vocabulary: int, corpus: str) -> Any:
    if problem := corpora.problem(corpus):
        raise ValueError(f"task text: {problem}.")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    if (size := tokenizer.get_vocab_size()) != vocabulary:
        raise ValueError(
            f"corpus = {corpus!r} with vocabulary = {vocabulary}: its texts give {size} tokens; expected as many as "
            "the vocabulary; give more text, or a smaller vocabulary."
        )
    return tokenizer
