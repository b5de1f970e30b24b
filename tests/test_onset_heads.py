"""`onset heads` and `onset.inspect`: a table of heads, JSON, NetCDF, and sentences for what cannot be measured."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import onset
from onset.command_line import main

VOCABULARY = 130


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model without a tokenizer: nothing is known to come first."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=128, **sizes))
    path = tmp_path_factory.mktemp("model")
    model.save_pretrained(path)
    return path


def _run(*words):
    with pytest.raises(SystemExit) as end:
        main(["heads", *map(str, words)])
    return end.value.code or 0


@pytest.mark.filterwarnings("ignore:model .* comes without a tokenizer")
def test_json_and_netcdf_hold_the_same_numbers(folder, tmp_path, capsys):
    assert _run(folder, "--sequences", "3", "--json", "--out", tmp_path, "--device", "cpu", "--ablate") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["description"].startswith("LlamaForCausalLM")
    assert [score["name"] for score in data["scores"]] == ["prefix-matching, twice", "induction stripe"]
    assert data["ablation"] == []  # random weights have no induction head
    import xarray

    with xarray.open_dataset(tmp_path / "heads.nc", engine="h5netcdf") as table:
        for score in data["scores"]:
            assert len(score["heads"]) == 4
            for head in score["heads"]:
                stored = table.sel(score=score["name"], layer=head["layer"], head=head["head"])
                assert float(stored["mean"]) == pytest.approx(head["mean"])
                assert head["low"] < head["mean"] < head["high"]


@pytest.mark.filterwarnings("ignore:model .* comes without a tokenizer")
def test_tables(folder, capsys):
    """What the model was shown stands above each table."""
    assert _run(folder, "--sequences", "2", "--device", "cpu", "--ablate") == 0
    out = capsys.readouterr().out
    assert "2 layers of 2 heads, vocabulary 130, context 128" in out
    assert "0 of 4 heads exceed chance" in out
    assert "50 distinct random tokens, twice" in out
    assert "nothing is ablated" in out


def test_python_returns_the_table():
    from tiny_language_models import tiny

    table = onset.inspect(tiny("gpt2", n_positions=128, vocab_size=110), ["induction stripe"], sequences=2)
    assert table["mean"].dims == ("score", "layer", "head")
    assert table.attrs["description"].startswith("GPT2LMHeadModel")
    with pytest.raises(ValueError, match=r"none of the usual scores can be measured with 50 tokens, context 64"):
        onset.inspect(tiny("gpt2"), sequences=2)
    with pytest.raises(ValueError, match="score = 'induction'"):
        onset.inspect(tiny("gpt2"), ["induction"])


def test_scores_are_listed(capsys):
    assert _run("any", "--list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["prefix-matching, released"]["usual"] is False
    assert "4 times" in listed["prefix-matching"]["sequences"]
    assert _run("any", "--list") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "attention to s = t - 1" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("no/such",), "model no/such: no such folder, and no model of this name in the local cache"),
        (("no/such", "--sequences", "1"), "--sequences = 1: expected"),
        (("no/such", "--scores", "induction"), "--scores = 'induction'"),
        (("no/such", "--number-type", "int3"), "--number-type = 'int3'"),
        (("no/such", "--level", "2"), "--level = 2"),
    ],
)
def test_bad_input_is_one_sentence(words, says, capsys):
    assert _run(*words) == 2
    assert says in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:model .* comes without a tokenizer")
def test_a_score_that_the_model_cannot_be_given(folder, capsys):
    assert _run(folder, "--scores", "prefix-matching", "--device", "cpu") == 2
    assert "no first token is known: expected one for a first token, then 25 distinct" in capsys.readouterr().err
