"""PyTorch's and Keras' names of activations and losses stand for the same functions here."""

from __future__ import annotations

import numpy as np
import pytest

import multisubnet as ms
from multisubnet._arithmetic.activation import ALIASES as ACTIVATIONS
from multisubnet._functions.loss_problem import ALIASES as LOSSES

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")

X = np.array([-25.0, -3.5, -2.0, -1.0, -0.3, 0.0, 0.7, 1.0, 3.0, 5.5, 25.0])
ERRORS = np.array([-3.0, -1.0, -0.4, 0.0, 0.2, 1.0, 2.5])
OF_SCIKIT_LEARN = {"identity", "logistic"}
OTHERWISE = {"mse", "mae", "l1", "huber", "smooth_l1", "logcosh", "bce", "LogCosh", "l1_loss"}


def of_torch(name):
    """Return a PyTorch function by its name, or a class's function, or None."""
    if hasattr(torch.nn, name):
        return getattr(torch.nn, name)()
    return getattr(torch.nn.functional, name, None)


@pytest.mark.parametrize("name", sorted({*ACTIVATIONS, *(n.lower() for n in ACTIVATIONS)}))
def test_activations_equal_those_of_pytorch_or_keras(name):
    if name in OF_SCIKIT_LEARN:
        return
    ours = ms.Activation(name)(X)
    function = of_torch(name)
    if function is not None:
        theirs = function(torch.from_numpy(X)).numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-8)
    of_keras = getattr(keras.activations, name, None)
    if of_keras is not None:
        np.testing.assert_allclose(ours, np.asarray(of_keras(X)), rtol=1e-5, atol=1e-6)
    assert name.islower() or function is not None or of_keras is not None


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_equal_those_of_pytorch_or_keras(name):
    predictions, targets = ERRORS[:, None], np.zeros((len(ERRORS), 1))
    ours_is = LOSSES[name]
    if "binary" in ours_is:
        targets[::2] = 1.0
    if ours_is == "binary_crossentropy":
        predictions = np.linspace(0.01, 0.99, len(ERRORS))[:, None]
    elif ours_is == "poisson":
        predictions, targets = abs(predictions) + 0.1, abs(targets) + 2.0
    elif ours_is == "hinge":
        targets += np.sign(predictions + 0.5)
    elif ours_is.startswith("categorical"):
        check_categorical(name)
        return
    ours = ms.mean_loss(predictions, [[1.0]], None, targets, loss=name)[0]
    found = [getattr(keras.losses, name, None)]
    if found[0] is not None and isinstance(found[0], type):
        found = [found[0]()]
    values = [np.mean(np.asarray(f(targets, predictions))) for f in found if f is not None]
    if of_torch(name) is not None:
        tensors = torch.from_numpy(predictions), torch.from_numpy(targets)
        values.append(of_torch(name)(*tensors).item())
    assert values or name in OTHERWISE, f"nobody has {name}"
    np.testing.assert_allclose(values, ours, rtol=1e-5)


def check_categorical(name):
    logits, labels = np.random.default_rng(0).normal(size=(5, 4)), np.array([0, 3, 1, 1, 2])
    ours = ms.mlp_mean_loss(logits, [np.eye(4)[None, None]], labels, loss=name, inputs=[range(4)])
    theirs = of_torch(name)(torch.from_numpy(logits), torch.from_numpy(labels)).item()
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_slopes_of_leaky_relu_differ_between_the_libraries():
    """The name alone is therefore refused."""
    x = np.array([-1.0])
    slopes = [
        torch.nn.LeakyReLU()(torch.from_numpy(x)).item(),
        np.asarray(keras.layers.LeakyReLU()(x)).item(),
        np.asarray(keras.activations.leaky_relu(x)).item(),
    ]
    np.testing.assert_allclose(slopes, [-0.01, -0.3, ms.Activation("leaky_relu")(-1.0)], rtol=1e-6)
    with pytest.raises(ValueError, match=r"LeakyReLU.*Activation\('leaky_relu', negative_slope="):
        ms.Activation("LeakyReLU")


def test_activations_take_tensors():
    tensor = torch.tensor([[-1.0, 2.0]], requires_grad=True)
    ms.Activation("tanh")(tensor).sum().backward()
    np.testing.assert_allclose(tensor.grad, 1 - np.tanh([[-1.0, 2.0]]) ** 2, rtol=1e-6)
