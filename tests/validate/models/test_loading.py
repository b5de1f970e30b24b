"""onset.validate.models.loading: folders, GGUF files, names and objects; what is not read, and why."""

from __future__ import annotations

import json
import pickle
import shutil
import time
import warnings

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from tiny_language_models import CONTEXT, VOCABULARY, tiny
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.models import loading
from onset.validate.models.loading import load
from onset.validate.models.transformer import Transformer

TOKENS = torch.arange(10)[None]


def _tokenizer():
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    text = ["the cat sat on the mat, the cat ran"] * 5
    tokenizer.train_from_iterator(text, trainers.BpeTrainer(vocab_size=40, special_tokens=["<s>"], show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("llama")
    tiny("llama").save_pretrained(path)
    _tokenizer().save_pretrained(path)
    return path


def test_a_folder(folder):
    """Its logits, its tokens without the special one, what is said of it."""
    loaded = load(folder, device="cpu")
    with torch.no_grad():
        expected = tiny("llama")(input_ids=TOKENS).logits
        torch.testing.assert_close(loaded.model(TOKENS), expected, rtol=1e-4, atol=1e-5)
    assert loaded.context == CONTEXT
    size = len(loaded.tokenizer)
    assert size < VOCABULARY  # the rest of the embedding belongs to no token
    assert (loaded.pool.first, loaded.pool.ranked) == (0, True)
    np.testing.assert_array_equal(loaded.pool.tokens, np.arange(1, size))
    assert loaded.description.startswith("LlamaForCausalLM, 0 million parameters, 2 layers of 4 heads, vocabulary 50")
    assert "float32 on cpu, first token '<s>' (number 0)" in loaded.description


def test_another_number_type(folder):
    loaded = load(str(folder), number_type="bfloat16", device="cpu")
    assert loaded.model(TOKENS).dtype == torch.bfloat16
    assert "bfloat16 on cpu" in loaded.description


def test_objects(folder):
    """Models of transformers, and any that is inspectable; nothing is known of their tokens."""
    for source in (tiny("gpt2"), Transformer(Setting.of("transformer", states=5, architecture=Architecture(2, 8, 2)))):
        loaded = load(source)
        assert loaded.tokenizer is None
        assert loaded.pool.first is None
        assert "2 layers of" in loaded.description
    with pytest.raises(ValueError, match="model of type Linear: expected a folder"):
        load(torch.nn.Linear(2, 2))


def test_pickled_weights_are_read_only_where_that_is_allowed(folder, tmp_path):
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    torch.save(tiny("llama").state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="its weights are pickled, and may run code when they are read"):
        load(tmp_path, device="cpu")
    with pytest.warns(UserWarning, match="without a tokenizer"):
        loaded = load(tmp_path, device="cpu", pickled=True)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(TOKENS), load(folder).model(TOKENS), rtol=1e-4, atol=1e-5)


def test_a_pickle_never_runs(folder, tmp_path):
    """Not even where pickled weights are allowed: only tensors are read."""

    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Evil()}))
    for pickled in (False, True):
        with pytest.raises(ValueError, match=r"pickled|cannot be read"):
            load(tmp_path, device="cpu", pickled=pickled)
    assert not (tmp_path / "ran").exists()


def test_code_that_comes_with_a_model_is_not_run(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "mine.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    with pytest.raises(ValueError, match="its architecture is code that comes with it, which is not run"):
        load(tmp_path, device="cpu")
    assert not (tmp_path / "ran").exists()


def _bert(path):
    from transformers import BertConfig, BertForMaskedLM

    BertForMaskedLM(
        BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    ).save_pretrained(path)


def _vision(path):
    from transformers import ViTConfig

    ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2).save_pretrained(path)


def _truncated(path):
    tiny("llama").save_pretrained(path)
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "the folder has no config.json"),
        (lambda path: (path / "config.json").write_text("{"), "it cannot be read"),
        (lambda path: (path / "config.json").write_text('{"model_type": "nonsense"}'), "it cannot be read"),
        (_bert, "layer 0 attends to tokens that come later; expected a causal language model"),
        (_vision, "it is not a causal language model"),
        (_truncated, "it cannot be read"),
    ],
)
def test_folders_that_hold_no_causal_language_model(make, says, tmp_path):
    make(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=says):
            load(tmp_path, device="cpu")


def test_names_and_files_that_are_nothing(tmp_path, monkeypatch):
    """A name that is not cached is not fetched; other files are no models."""
    with pytest.raises(
        ValueError, match=r"model onset/no-such-model: no such folder, and no model of this name in the"
    ):
        load("onset/no-such-model")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"notes.txt: expected a folder, a .gguf file, a run file .*, or a name on"):
        load(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match=r"number type = 'int3'.*bfloat16"):
        load(tmp_path, number_type="int3")


def test_a_gguf_file_is_converted_once_by_those_who_want_it_at_once(tmp_path, monkeypatch):
    """The second waits for the first; nothing but the model and a lock is left. Without a cache it goes at the end."""
    from concurrent.futures import ThreadPoolExecutor

    file, calls, left = tmp_path / "model.gguf", [], []
    file.write_bytes(b"GGUF")

    def convert(path, folder):
        calls.append(folder)
        time.sleep(0.2)
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(loading, "_convert", convert)
    monkeypatch.setattr(loading.user_cache, "folder", lambda: tmp_path / "cache")
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(loading._converted, [file, file]))
    assert folders[0] == folders[1]
    assert len(calls) == 1
    assert sorted(path.suffix for path in (tmp_path / "cache" / "models").iterdir()) == sorted(
        [folders[0].suffix, ".lock"]
    )
    monkeypatch.setattr(loading.user_cache, "folder", lambda: None)
    monkeypatch.setattr(loading.user_cache.atexit, "register", lambda function, folder, **options: left.append(folder))
    assert [loading._converted(file)] == left
    shutil.rmtree(left[0])


def test_gguf_files_that_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ValueError, match=r"model .*none.gguf: cannot be read \(No such file"):
        load(tmp_path / "none.gguf")
    for content in (b"", b"GGUF", b"GGUF" + b"\x03\0\0\0" + b"\xff" * 16, b"nonsense" * 10):
        (tmp_path / "broken.gguf").write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ValueError, match=r"broken.gguf: cannot be read as a .gguf file"):
                load(tmp_path / "broken.gguf")
    assert not [kept for kept in tmp_path.glob("cache/onset/models/*") if kept.suffix != ".lock"]


def test_a_cached_model_of_the_hub_is_held_in_a_type_that_fits(tmp_path, monkeypatch):
    """Its files count as those of a folder do: half of the memory for single precision, or bfloat16."""
    snapshot = tmp_path / "models--some--model" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(bytes(1000))
    (tmp_path / "models--some--model" / "refs").mkdir()
    (tmp_path / "models--some--model" / "refs" / "main").write_text("0123")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for memory, fitting in ((4000, torch.float32), (3999, torch.bfloat16)):
        monkeypatch.setattr(loading.costs, "available_memory", lambda memory=memory: memory)
        assert loading._fitting("some/model") == loading._fitting(snapshot) == fitting
    assert loading._cached("another/model") is None
