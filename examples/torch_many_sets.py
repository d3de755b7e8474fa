"""Train a thousand sets of weights in PyTorch, at once and with one optimizer.

    python examples/torch_many_sets.py             # less than a minute on two cores
    python examples/torch_many_sets.py --quick     # few sets and steps

The model has 30 tiny subnetworks, one per feature of the breast-cancer table. Each estimates from
its feature alone, with one weight and one bias, how probable it is that a tumour is benign. Each
set starts at random. Sets are independent and Adam works elementwise, so training all sets together
has the same result as training each alone.

Needs PyTorch and scikit-learn.
"""

from __future__ import annotations

import argparse
import time

import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from multisubnet import torch as mst

LEARNING_RATE = 0.1


def table() -> tuple[Tensor, Tensor]:
    """Return standardized samples (B, F), and whether each is benign, 0 or 1, as (B, 1)."""
    data = load_breast_cancer()
    scaled = (data.data - data.data.mean(0)) / data.data.std(0)
    samples, targets = (torch.tensor(x, dtype=torch.float32) for x in (scaled, data.target))
    return samples, targets[:, None]


def train_together(model: mst.StackedAffine, samples: Tensor, targets: Tensor, steps: int) -> None:
    """Train all sets of a model: the gradient of the summed losses has that of each set."""
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    for step in range(steps + 1):
        optimizer.zero_grad()
        losses = losses_of(model, samples, targets)
        if step % max(steps // 4, 1) == 0 or step == steps:
            print(f"  step {step:3}: losses {losses.min():.4f} to {losses.max():.4f}")
        if step < steps:
            losses.sum().backward()
            optimizer.step()


def losses_of(model: mst.StackedAffine, samples: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of each set."""
    loss = "binary_crossentropy_from_logits"
    return mst.mean_loss(samples, model.weight, model.bias, targets, loss=loss)


def train_alone(
    weight: Tensor, bias: Tensor, samples: Tensor, targets: Tensor, steps: int
) -> Tensor:
    """Train one set, its weight and bias (F,), with its own optimizer; return its loss."""
    parameters = [torch.nn.Parameter(x.clone()) for x in (weight, bias)]
    optimizer = torch.optim.Adam(parameters, LEARNING_RATE)
    targets = targets.expand_as(samples)

    def loss() -> Tensor:
        logits = torch.addcmul(parameters[1], samples, parameters[0])
        return binary_cross_entropy_with_logits(logits, targets)

    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    return loss().detach()


def main() -> None:
    """Train together, and some alone, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer sets and steps")
    is_quick = parser.parse_args().quick
    n_sets, n_alone, steps = (20, 3, 8) if is_quick else (1000, 10, 100)

    torch.manual_seed(0)
    samples, targets = table()
    model = mst.StackedAffine(n_sets, samples.shape[1])
    starts = list(zip(model.weight.detach().clone(), model.bias.detach().clone(), strict=True))

    print(f"{n_sets:,} sets at once:")
    began = time.perf_counter()
    train_together(model, samples, targets, steps)
    together = time.perf_counter() - began
    print(f"  {together:.2f} s")

    began = time.perf_counter()
    alone = [train_alone(*start, samples, targets, steps) for start in starts[:n_alone]]
    seconds = (time.perf_counter() - began) / n_alone * n_sets
    print(f"One by one ({n_alone} of them trained, the time of all estimated):")
    print(f"  {seconds:.2f} s, {seconds / together:.1f} times as long")
    with torch.no_grad():
        losses = losses_of(model, samples, targets)[:n_alone]
    apart = (losses - torch.stack(alone)).abs().max()
    print(f"Their losses differ by at most {apart:.1e}.")


if __name__ == "__main__":
    main()
