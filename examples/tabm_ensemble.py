"""TabM with a layer of this library instead of its own: the same predictions, bit for bit.

    python examples/tabm_ensemble.py             # seconds
    python examples/tabm_ensemble.py --quick     # fewer steps of training

TabM (Gorishniy et al., ICLR 2025) is an ensemble of k networks that share nearly all weights. In
its variant "mini", the members differ only in one factor per feature in the first layer: N sets of
weights on the same samples. This example replaces that layer, `tabm.ElementwiseAffine`, by
`StackedAffine`, which has parameters of the same names and shapes.

Without a bias, both layers compute one product, rounded once, so all bits are equal. With a bias,
TabM calls `torch.addcmul`, which may round product and sum together; this library rounds each.

Needs PyTorch, scikit-learn, and tabm (pip install tabm rtdl_num_embeddings).
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable

import tabm
import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn

from multisubnet.torch import StackedAffine

K = 32


def table() -> tuple[Tensor, Tensor]:
    """Return standardized samples (B, F) and targets (B,)."""
    data = load_diabetes()
    columns = (torch.tensor(x, dtype=torch.float32) for x in (data.data, data.target))
    samples, targets = ((x - x.mean(0)) / x.std(0) for x in columns)
    return samples, targets


def with_stacked_affine(model: tabm.TabM) -> tabm.TabM:
    """Return a copy of a model with a layer of this library."""
    model = copy.deepcopy(model)
    affine = model.backbone.affine
    stacked = StackedAffine(*affine.weight.shape, bias=affine.bias is not None)
    stacked.load_state_dict(affine.state_dict())
    model.backbone.affine = stacked
    model.ensemble_view = nn.Identity()  # would show each sample k times
    return model


def train(model: nn.Module, samples: Tensor, targets: Tensor, steps: int) -> float:
    """Train all members, each on its own error; return their mean squared error."""
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    model.train()
    torch.manual_seed(1)  # of dropout
    for _ in range(steps):
        optimizer.zero_grad()
        error = model(samples).squeeze(-1) - targets[:, None]
        error.square().mean().backward()
        optimizer.step()
    model.eval()
    with torch.inference_mode():
        return float((model(samples).mean(1).squeeze(-1) - targets).square().mean())


def milliseconds(function: Callable[[], object]) -> float:
    """Return the least time of a call."""
    best = float("inf")
    for _ in range(20):
        began = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - began)
    return best * 1e3


def main() -> None:
    """Replace the layer, compare, and train both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer steps of training")
    steps = 5 if parser.parse_args().quick else 200

    torch.manual_seed(0)
    samples, targets = table()
    options = {"n_blocks": 2, "d_block": 64, "arch_type": "tabm-mini"}
    model = tabm.TabM.make(n_num_features=samples.shape[1], d_out=1, k=K, **options).eval()
    ours = with_stacked_affine(model)
    print(f"TabM's layer is replaced by {ours.backbone.affine}.")
    with torch.inference_mode():
        is_same = torch.equal(model(samples), ours(samples))
        print(f"The predictions of {K} members have the same bits: {'yes' if is_same else 'no'}")

        many = samples.repeat(200, 1)
        theirs, mine = (
            milliseconds(lambda m=m: m.backbone.affine(m.ensemble_view(many)))
            for m in (model, ours)
        )
        print(f"The layer on {len(many):,} samples: {theirs:.1f} ms, and {mine:.1f} ms replaced")

    for name, network in (("TabM's", model), ("replaced", ours)):
        error = train(network, samples, targets, steps)
        print(f"Trained with the layer {name}: mean squared error {error:.4f} in {steps} steps")

    affine = tabm.ElementwiseAffine((K, samples.shape[1]), bias=True, scaling_init="normal")
    nn.init.normal_(affine.bias)
    stacked = StackedAffine(*affine.weight.shape)
    stacked.load_state_dict(affine.state_dict())
    with torch.inference_mode():
        apart = (affine(samples[:, None].expand(-1, K, -1)) - stacked(samples)).abs().max()
    print(f"With a bias, results differ by at most {apart:.1e}.")


if __name__ == "__main__":
    main()
