"""Gradients of networks with hidden layers are those of PyTorch's autograd."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import multisubnet as ms

torch = pytest.importorskip("torch")

CROSSENTROPY = "categorical_crossentropy_from_logits"
LOSSES = {
    "squared_error": torch.nn.functional.mse_loss,
    "huber": torch.nn.functional.huber_loss,
    "binary_crossentropy_from_logits": torch.nn.functional.binary_cross_entropy_with_logits,
}


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("loss", [*LOSSES, CROSSENTROPY])
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_gradients(loss, additive, activation):
    rng = np.random.default_rng(0)
    n_sets, n_networks, n_samples, sizes = 3, 4, 300, (1, 16, 8, 3)
    arrays = []
    for before, after in itertools.pairwise(sizes):
        arrays.append(rng.normal(size=(n_sets, n_networks, before, after)) / before**0.5)
        arrays.append(rng.normal(size=(n_sets, n_networks, after)))
    arrays = [x.astype("f4") for x in arrays]
    samples = rng.normal(size=(n_samples, n_networks)).astype("f4")
    shape = (n_samples, 3) if additive else (n_samples, n_networks, 3)
    targets = rng.random(shape).astype("f4")
    if loss == CROSSENTROPY:
        targets = rng.integers(3, size=shape[:-1])
    layers = list(zip(arrays[::2], arrays[1::2], strict=True))
    options = {"loss": loss, "activation": activation, "additive": additive}
    found = ms.mlp_mean_loss_and_grad(samples, layers, targets, **options)

    parameters = [torch.tensor(x, requires_grad=True) for x in arrays]
    h = torch.tensor(samples).T[None, :, :, None]
    for number in range(3):
        h = h @ parameters[2 * number] + parameters[2 * number + 1][:, :, None]
        h = getattr(torch.nn.functional, activation)(h) if number < 2 else h
    predictions = h.sum(1) if additive else h.transpose(1, 2)  # (sets, samples, [networks,] 3)
    losses = []
    for p in predictions:
        if loss == CROSSENTROPY:
            labels = torch.tensor(targets).reshape(-1)
            losses.append(torch.nn.functional.cross_entropy(p.reshape(-1, 3), labels))
        else:
            losses.append(LOSSES[loss](p, torch.tensor(targets)))
    sum(losses).backward()
    np.testing.assert_allclose(found.loss, [float(x.detach()) for x in losses], rtol=1e-5)
    gradients = [g for layer in found.grad_layers for g in layer]
    for one, parameter in zip(gradients, parameters, strict=True):
        other = parameter.grad.numpy()
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * abs(other).max())
