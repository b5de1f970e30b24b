r"""Importance of heads and of feed-forward blocks for a task (Bansal et al., arXiv 2212.09095).

With A^h (T × width) a head's output before the output projection and L the loss of an example's answer, nats per token,

    importance             I_h = mean over examples of |Σ_t A^h_t · ∂L/∂A^h_t|, the size of the change of the loss to
                           first order as the head's output goes to zero
    importance, released   Σ over examples and tokens of |A^h_t · ∂L/∂A^h_t|, divided by the number of tokens but one of
                           each example, in the last layer by that of the answers' tokens: absolute values before the
                           sum over tokens, as the released code takes them

from one forward and one backward pass for all heads. The importance of a feed-forward block is the performance of the
model less that without the block, one evaluation each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from onset.theory.arrays import Array
from onset.theory.recording import Progress
from onset.validate.evaluation.examples import EvaluationTask, Performance, batches, evaluate
from onset.validate.inspection.inspectable import Inspectable, by_layer
from onset.validate.inspection.interventions import ZeroFeedForward, intervene
from onset.validate.inspection.losses import token_losses

__all__ = ["HeadImportance", "feed_forward_importance", "head_importance"]


@dataclass(frozen=True)
class HeadImportance:
    """Importance of all heads for n examples of a task.

    Attributes
    ----------
    changes : array, shape (n, layers, most heads of a layer)
        Σ_t A^h_t · ∂L/∂A^h_t of each example, with its sign, in nats per token of the answer.
    released : array, shape (layers, most heads of a layer)
        As the released code averages.
    magnitudes : array, shape (layers, most heads of a layer)
        Mean over tokens of ‖A^h_t W_O^h‖: what the heads write, whatever the loss.
    """

    changes: Array
    released: Array
    magnitudes: Array

    @property
    def values(self) -> Array:
        """Importance of each head and example, in nats per token of the answer."""
        return np.abs(self.changes)

    @property
    def mean(self) -> Array:
        """Importance, shape (layers, most heads of a layer)."""
        return self.values.mean(axis=0)


def head_importance(
    model: Inspectable, task: EvaluationTask, *, progress: Progress = lambda step, steps: None
) -> HeadImportance:
    """Importance of all heads for a task, from the right option of each example.

    Parameters
    ----------
    model : Inspectable
    task : EvaluationTask
    progress : callable
        Called with the examples done and in total.
    """
    options = [example.options[example.right] for example in task.examples]
    weights = [model.output_weights(layer).detach().float() for layer in range(len(model.heads))]
    squared = [weight @ weight.mT for weight in weights]
    rows: dict[int, Tensor] = {}
    released, magnitudes = (torch.zeros(()).to(model.unembedding_matrix.device) for _ in range(2))
    tokens_in_all, answers_in_all = 0, 0
    for places, tokens, answers in batches(options, model.unembedding_matrix.device):
        outputs, gradients = _outputs_and_gradients(model, tokens, answers)
        there = torch.zeros_like(tokens, dtype=torch.bool)
        for row, place in enumerate(places):
            there[row, : len(options[place].tokens)] = True
        pairs = zip(outputs, gradients, strict=True)
        by_token = [(output * gradient).sum(dim=-1) * there[..., None] for output, gradient in pairs]
        changes = by_layer([values.sum(dim=1).T for values in by_token])
        rows |= {place: changes[:, :, row] for row, place in enumerate(places)}
        released = released + by_layer([values.abs().sum(dim=(0, 1)) for values in by_token])
        sizes = [
            torch.einsum("bthw,hwv,bthv->bth", output, square, output).clamp(min=0).sqrt() * there[..., None]
            for output, square in zip(outputs, squared, strict=True)
        ]
        magnitudes = magnitudes + by_layer([size.sum(dim=(0, 1)) for size in sizes])
        tokens_in_all += int(there[:, 1:].sum())
        answers_in_all += int(answers.sum())
        progress(len(rows), len(options))
    number = released.new_full((len(model.heads), 1), tokens_in_all)
    number[-1] = answers_in_all
    changes = torch.stack([rows[place] for place in range(len(options))])
    magnitudes = magnitudes / (tokens_in_all + len(options))
    return HeadImportance(_numbers(changes), _numbers(released / number), _numbers(magnitudes))


def feed_forward_importance(
    model: Inspectable,
    task: EvaluationTask,
    read: Callable[[Performance], Array] = lambda performance: performance.correct,
    *,
    progress: Progress = lambda step, steps: None,
) -> Array:
    """Performance of each example less that without each feed-forward block, shape (blocks, n)."""
    intact, without = read(evaluate(model, task)), []
    for layer in model.feed_forward_layers:
        with intervene(model, ZeroFeedForward(layer)):
            without.append(read(evaluate(model, task)))
        progress(len(without), len(model.feed_forward_layers))
    return intact - np.array(without).reshape(-1, len(intact))


def _outputs_and_gradients(
    model: Inspectable, tokens: Tensor, answers: Tensor
) -> tuple[list[Tensor], Sequence[Tensor]]:
    """Outputs (B, T, H, width) of each layer's heads, and the derivatives by them of each example's loss."""
    outputs: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        # Where no parameter needs a derivative, the graph starts at the first layer's heads.
        outputs.append(output if output.requires_grad else output.requires_grad_())
        return outputs[-1]

    with torch.enable_grad(), _frozen(model), ExitStack() as hooks:
        for layer in range(len(model.heads)):
            hooks.enter_context(model.hooked("head_outputs", layer, keep))
        losses = (token_losses(model(tokens), tokens) * answers).sum(dim=1) / answers.sum(dim=1)
        # Sequences do not act on each other: the derivative of the sum is that of each example's own loss.
        gradients = torch.autograd.grad(losses.sum(), outputs)
    return [output.detach().float() for output in outputs], [gradient.float() for gradient in gradients]


@contextmanager
def _frozen(model: Inspectable) -> Iterator[None]:
    """No derivatives by parameters are kept."""
    parameters = [p for p in model.parameters() if p.requires_grad] if isinstance(model, torch.nn.Module) else []
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def _numbers(tensor: Tensor) -> Array:
    return tensor.double().cpu().numpy()
