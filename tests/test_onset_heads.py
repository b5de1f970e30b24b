"""`onset heads` and `onset.inspect`: a table of heads, JSON, NetCDF, and sentences for what cannot be measured."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import onset
from onset.command_line import main
from onset.validate.heads.scoring import USUAL

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
    assert [score["name"] for score in data["scores"]] == [name for name in USUAL if name != "induction, detector"]
    assert "induction, detector: no first token is known" in data["missing"]
    assert data["ablation"]["losses"] == []  # random weights have no induction head
    assert len(data["ablation"]["each"]) == 4
    assert data["files"] == [str(tmp_path / name) for name in ("heads.html", "heads.json", "heads.nc")]
    written = json.loads((tmp_path / "heads.json").read_text())
    assert written["scores"][0]["heads"][0]["mean"] == data["scores"][0]["heads"][0]["mean"]
    import xarray

    with xarray.open_dataset(tmp_path / "heads.nc", engine="h5netcdf") as table:
        for score in data["scores"]:
            assert len(score["heads"]) == (2 if score["name"] == "QK trace" else 4)
            for head in score["heads"]:
                stored = table.sel(score=score["name"], layer=head["layer"], head=head["head"])
                assert float(stored["mean"]) == pytest.approx(head["mean"])
                assert head["low"] <= head["mean"] <= head["high"]


@pytest.mark.filterwarnings("ignore:model .* comes without a tokenizer")
def test_tables(folder, capsys):
    """What the model was shown stands above each table."""
    assert _run(folder, "--sequences", "2", "--device", "cpu", "--ablate") == 0
    out = capsys.readouterr().out
    assert "2 layers of 2 heads, vocabulary 130, context 128" in out
    assert "0 of 4 heads exceed chance" in out
    assert "50 distinct random tokens, twice" in out
    assert "none are ablated together" in out
    assert "heads whose ablation alone changes" in out


def test_python_returns_the_table():
    from tiny_language_models import tiny

    table = onset.inspect(tiny("gpt2", n_positions=128, vocab_size=110), ["induction stripe"], sequences=2)
    assert table["mean"].dims == ("score", "layer", "head")
    assert table.attrs["description"].startswith("GPT2LMHeadModel")
    with pytest.raises(ValueError, match=r"none of the usual scores can be measured with 20 tokens, context 64"):
        onset.inspect(tiny("gpt2", vocab_size=20), sequences=2)
    with pytest.raises(ValueError, match="score = 'induction'"):
        onset.inspect(tiny("gpt2"), ["induction"])


def test_scores_are_listed(capsys):
    assert _run("any", "--list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["prefix-matching, released"]["usual"] is False
    assert "4 times" in listed["prefix-matching"]["shown"]
    assert (listed["QK trace"]["unit"], listed["QK trace"]["level"]) == ("deviations", 1.0)
    assert _run("--list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == listed
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
        ((), "model is missing: expected a folder, a file or a name"),
        (("no/such", "--prune"), "prune without --importance"),
        (("no/such", "--positions", "5", "9"), "positions without --text"),
        (("no/such", "--positions", "9", "5"), "--positions = '9 5': expected two positions"),
        (("no/such", "--positions", "5"), "--positions = '5': expected two positions"),
        (("no/such", "--text", "no-such.txt"), "--text = 'no-such.txt': expected a file"),
        (("no/such", "--importance", "repeats", "--normalisation", "words"), "--normalisation = 'words'"),
        (("no/such", "--over", "."), "with model no/such: expected one of them"),
        (("--over", "no-such"), "--over = 'no-such': expected a file or a folder"),
    ],
)
def test_bad_input_is_one_sentence(words, says, capsys):
    assert _run(*words) == 2
    assert says in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:model .* comes without a tokenizer")
def test_a_score_that_the_model_cannot_be_given(folder, capsys):
    assert _run(folder, "--scores", "induction, detector", "--device", "cpu") == 2
    assert "no first token is known: expected one for a first token, then 50 distinct" in capsys.readouterr().err
    assert _run(folder, "--importance", "nothing", "--device", "cpu") == 2
    assert "--importance = 'nothing': expected a JSONL file" in capsys.readouterr().err
    assert _run(folder, "--text", __file__, "--device", "cpu") == 2
    assert "has no tokenizer, so texts cannot be given" in capsys.readouterr().err
