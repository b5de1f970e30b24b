"""The page of a model's heads in a browser: everything on it, hostile tokens, pointer and keyboard, phone and dark."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from browser import CHROMIUM, opened
from built_transformers import induction_transformer

from onset.theory.plain_data import plain
from onset.validate.evaluation.synthetic import synthetic
from onset.validate.heads.study import Asked, study
from onset.validate.heads.text import read_text
from onset.validate.inspection.sequences import Pool
from onset.validate.models.loading import LanguageModel
from onset.validate.report.heads_page import render

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

HOSTILE = "<script>window.hacked = 1</script>"
VOCABULARY = 400


@pytest.fixture(scope="module")
def tokenizer():
    """Byte-level, with a token that is a script, and one that ends one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    backend.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(["the cat sat"] * 9, trainers.BpeTrainer(vocab_size=290, initial_alphabet=alphabet))
    fast = PreTrainedTokenizerFast(tokenizer_object=backend)
    fast.add_tokens([HOSTILE, "</script>"])
    return fast


@contextmanager
def silent(stage):
    yield lambda done, total: None


@pytest.fixture(scope="module")
def asked(tokenizer, tmp_path_factory):
    """All that can be asked of a model whose heads are known, and its data."""
    model = LanguageModel(
        f"m{HOSTILE}", induction_transformer(VOCABULARY, 120), tokenizer, Pool.of(len(tokenizer)), "two layers"
    )
    text = tmp_path_factory.mktemp("text") / f"{HOSTILE.replace('/', '')}.txt"
    text.write_text(f"the cat sat {HOSTILE} the cat\nsat </script> " * 40, encoding="utf-8")
    tasks = tuple(synthetic(name, model.pool, 6) for name in ("repeats", "chains"))
    everything = Asked(
        sequences=4, ablate=True, text=read_text(text, model, pieces=4, length=100), tasks=tasks, prune=True
    )
    return plain(study(model, everything, silent)[1])


@pytest.fixture(scope="module")
def page_file(asked, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "heads.html"
    file.write_text(render(asked), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(autouse=True)
def no_problems(browser):
    """Whatever a test does, the console shows nothing, and no token has run."""
    yield
    assert browser.problems == []
    assert browser.ask("window.hacked === undefined")


def test_the_study_knows_the_heads(asked):
    """L0H1 attends to the previous token, L1H1 is the induction head; without it nothing is known of the repeat."""
    by_name = {score["name"]: score for score in asked["scores"]}
    above = {name: [(h["layer"], h["head"]) for h in by_name[name]["heads"] if h["exceeds"]] for name in by_name}
    assert above["previous-token"] == [(0, 1)]
    assert above["prefix-matching"] == above["QK trace"] == above["logit attribution"] == [(1, 1)]
    losses = {row["ablated"]: row["second copy"]["loss"] for row in asked["ablation"]["losses"]}
    assert losses["none"] < 0.2
    assert losses["these"] > 5
    assert losses["others"] == pytest.approx(losses["none"], abs=1e-3)
    (path,) = asked["ablation"]["paths"]
    assert (path["from"], path["to"]) == ("L0H1", "L1H1")
    assert path["rise"]["low"] > 3
    assert path["composition"] > 1.5 * path["chance"]  # 1/√vocabulary and 1/√width, which is √3 times less
    each = {(head["layer"], head["head"]): head["value"] for head in asked["ablation"]["each"]}
    assert min(each[0, 1], each[1, 1]) > 3
    assert max(map(abs, (each[0, 0], each[1, 0]))) < 1e-4
    repeats = next(entry for entry in asked["pruning"] if entry["task"] == "repeats")
    accuracy = {(row["order"], row["percent"]): row["accuracy"]["value"] for row in repeats["rows"]}
    assert accuracy["importance", 50] == accuracy["importance", 0] > 0.97
    assert accuracy["reverse", 50] < 0.1
    assert repeats["capacity"]["prefix-matching"][5] > 0.95  # half of the heads are gone, the score is left
    assert asked["attention"]["first"] == "L1H1"


def test_everything_is_drawn(browser, page_file, asked):
    browser.show(page_file)
    maps = browser.ask("[...document.querySelectorAll('svg.map')].map((one) => one.querySelectorAll('.head').length)")
    assert maps == [len(score["heads"]) for score in asked["scores"]] + [4] + [4, 4]
    assert browser.ask("document.querySelectorAll('svg.chart').length") == 1 + 2 * 2
    assert browser.ask("document.querySelector('#pattern').width") == 96
    broken = browser.ask(
        "[...document.querySelectorAll('svg *')].some((one) => /NaN|undefined|Infinity/.test(one.outerHTML))"
    )
    assert not broken
    links = browser.ask(
        "[...document.querySelectorAll('nav a')].map((one) => document.querySelector(one.hash) !== null)"
    )
    assert len(links) == 8
    assert all(links)


def test_tokens_are_shown_as_they_are(browser, page_file):
    browser.show(page_file)
    assert HOSTILE in browser.ask("document.querySelector('#tokens').textContent")
    assert HOSTILE in browser.ask("document.querySelector('.lead').textContent")
    assert browser.ask("document.querySelectorAll('script').length") == 2


def test_pointing_tells_and_clicking_chooses(browser, page_file):
    """The numbers of a head stand beside the pointer; a click shows its attention."""
    browser.show(page_file)
    assert browser.ask("document.querySelector('#head').value") == "L1H1"
    browser.click("document.querySelector('svg.map rect[data-name=L0H1]')")
    assert browser.ask("document.querySelector('#head').value") == "L0H1"
    told = browser.ask("document.querySelector('#tip').textContent")
    assert told.startswith("L0H1 previous-token\n1.000 (95%:")
    assert "adjusted p" in told
    assert browser.ask("document.querySelectorAll('rect.chosen').length") > 5
    # From the third token nearly all attention goes to the second.
    browser.click("document.querySelector('#tokens').children[2]")
    shades = browser.ask(
        "[...document.querySelector('#tokens').children].slice(0, 5).map((one) => one.style.background)"
    )
    assert "0.99" in shades[1] or "1)" in shades[1] or shades[1].startswith("rgb(")
    assert shades[3] == shades[4] == ""


def test_the_keyboard_reaches_every_head(browser, page_file):
    browser.show(page_file)
    browser.ask("document.querySelector('svg.map').focus()")
    for key in ("ArrowRight", "ArrowDown", "Enter"):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key=key)
    assert browser.ask("document.querySelector('#head').value") == "L1H1"
    assert browser.ask("document.querySelector('#tip').textContent").startswith("L1H1 previous-token")


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone(browser, page_file, dark):
    browser.show(page_file, width=375, dark=dark)
    assert browser.ask("document.documentElement.scrollWidth") <= 375


def test_a_page_of_scores_alone(browser, asked, tmp_path):
    """Nothing was asked but scores, and no head exceeds chance: no part is missing a heading or a picture."""
    kept = ("model", "description", "sequences", "seed", "missing", "layers", "heads_of_a_layer")
    data = {name: asked[name] for name in kept}
    quiet = [head | {"exceeds": False} for head in asked["scores"][0]["heads"]]
    data |= {"scores": [asked["scores"][0] | {"heads": quiet}], "attention": {}}
    (file := tmp_path / "heads.html").write_text(render(json.loads(json.dumps(data))), encoding="utf-8")
    browser.show(file)
    assert browser.ask("document.querySelectorAll('svg.map').length") == 1
    assert "0 of 4 heads" in browser.ask("document.body.textContent")
