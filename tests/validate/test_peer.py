"""onset.validate.bench.peer: a small imitation of the released code is timed beside ours; other folders are refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from onset.validate.bench import COLUMNS, peer, table_rows, timing

RELEASED = {
    "datasets.py": """
import torch

class ngrams:
    def __init__(self, split, n, length, num_symbols):
        self.length, self.states = length, num_symbols

    def __getitems__(self, indices):
        return torch.randint(self.states, (len(indices), self.length))
""",
    "utils.py": """
import torch

def statistical(tokens, states):
    follows = tokens[1:][tokens[:-1] == tokens[-1]]
    counts = torch.bincount(follows, minlength=states) + 1.0
    return counts / counts.sum()
""",
    "mingpt/__init__.py": "",
    "mingpt/trainer.py": """
class Trainer:
    @staticmethod
    def get_default_config():
        return 5e-4
""",
    "training_pipeline.py": """
from types import SimpleNamespace

def get_default_config():
    print("output that must not be shown")
    return SimpleNamespace(n_layer=2, n_embd=16)
""",
    "mingpt/model_rpe.py": """
import torch
from torch import nn
from torch.nn import functional as F

class Layer(nn.Module):
    def __init__(self, width, context):
        super().__init__()
        self.ln = nn.LayerNorm(width)
        self.Q, self.K, self.V, self.c_proj = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.wpe = nn.Embedding(context + 1, width)

    def forward(self, x):
        y, length = self.ln(x), x.shape[1]
        lag = torch.arange(length)[:, None] - torch.arange(length)
        query = self.Q(y)
        scores = query @ self.K(y).mT + torch.einsum("bic,ijc->bij", query, self.wpe(lag.clamp(min=0)))
        pattern = (scores / x.shape[2] ** 0.5).masked_fill(lag < 0, -torch.inf).softmax(-1)
        return x + self.c_proj(pattern @ self.V(y))

class Relative_Transformer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.layers = nn.ModuleList(Layer(config.n_embd, config.block_size) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)

    def configure_optimizers(self, rate):
        return torch.optim.AdamW(self.parameters(), lr=rate)

    def forward(self, tokens, targets=None):
        x = self.wte(tokens)
        for layer in self.layers:
            x = layer(x)
        logits = self.lm_head(self.ln_f(x))
        return logits, None if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())
""",
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name, text in RELEASED.items():
        path = tmp_path / "clone" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "clone"


def test_a_clone_is_timed_beside_ours(clone, monkeypatch, capsys):
    """Sampler, strategy and training step, each with its target; neither the clone nor sys.modules changes."""
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    monkeypatch.setattr(timing, "PAUSE", 0.0)
    before, modules = sorted(clone.rglob("*")), set(sys.modules)
    timings = list(peer.timings(peer.load(clone), batch=4, context=9, states=3))
    names = [row.name.partition(" (")[0] for row in timings]
    assert names[:3] == ["sampler", "strategy evaluation", "training step"]
    assert set(names[3:]) <= {"training step"}
    assert all(row.target == ">= 4" and row.ratio > 0 and "released" in row.baseline for row in timings)
    assert {len(row) for row in table_rows([row.to_dict() for row in timings])} == {len(COLUMNS)}
    assert sorted(clone.rglob("*")) == before
    assert not {
        name for name in set(sys.modules) - modules if name.partition(".")[0] in ("utils", "datasets", "mingpt")
    }
    assert str(clone) not in sys.path
    assert capsys.readouterr().out == ""


def test_a_model_that_differs_is_not_timed(clone):
    """Scores without 1/√d: the logits differ from ours, which is reported before the model is timed."""
    path = clone / "mingpt" / "model_rpe.py"
    path.write_text(path.read_text().replace("scores / x.shape[2] ** 0.5", "scores"))
    with pytest.raises(ArithmeticError, match="the released transformer differs"):
        list(peer.timings(peer.load(clone), batch=4, context=9, states=3))


def test_a_folder_that_is_no_clone_is_refused(clone, tmp_path):
    """A folder without the files, or with an import that is not installed: the message names both."""
    with pytest.raises(ValueError, match=r"holds no datasets\.py, utils\.py, .*give its folder"):
        peer.load(tmp_path / "nowhere")
    (clone / "mingpt" / "trainer.py").unlink()
    with pytest.raises(ValueError, match=r"holds no mingpt/trainer\.py"):
        peer.load(clone)
    (clone / "mingpt" / "trainer.py").write_text("import a_module_nobody_has")
    with pytest.raises(ValueError, match=r"'a_module_nobody_has'.*install it"):
        peer.load(clone)
    assert "mingpt" not in sys.modules
