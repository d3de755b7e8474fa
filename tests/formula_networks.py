"""The definition of losses and gradients of networks with hidden layers, in plain NumPy.

Every backend must match it bit for bit. The values of a unit are an array (N, B).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from formula import (
    Number,
    activated,
    cast,
    factors,
    floating,
    form_of,
    is_bfloat16,
    judged,
    named,
    result_type,
    slope_of,
    summed,
    tree,
)

from multisubnet._arithmetic import loss_recipes

CATEGORICAL = "categorical_crossentropy_from_logits"


class Network(NamedTuple):
    """One network of each set: weights [j][k] of each layer, and values of its units."""

    weights: list[Any]
    sums: list[Any]
    values: list[Any]  # inputs first


class Model(NamedTuple):
    dtype: np.dtype
    layers: list[Any]
    activations: list[Any]
    inputs: Any
    intercept: Any
    networks: list[Network]
    shape: tuple[int, int]

    def additive(self):
        n_outputs = self.layers[-1][0].shape[3]
        total = [np.zeros(self.shape) for _ in range(n_outputs)]
        if self.intercept is not None:
            rounded = self.intercept.astype(self.dtype).astype(float)
            total = [np.broadcast_to(of_set[:, None], self.shape) for of_set in rounded.T]
        for network in self.networks:
            total = [t + h for t, h in zip(total, network.values[-1], strict=True)]
        return [t.astype(self.dtype) for t in total]


def model_of(samples, layers, activation, output_activation, inputs, intercept):
    layers = [layer if isinstance(layer, tuple) else (layer, None) for layer in layers]
    operands = [samples, *(x for layer in layers for x in layer if x is not None)]
    operands += [] if intercept is None else [intercept]
    common = result_type(*operands)
    dtype = np.dtype(np.float32 if is_bfloat16(common) or common.char in "ef" else np.float64)
    if not isinstance(activation, list | tuple):
        activation = [activation] * (len(layers) - 1)
    activations = [named(a) for a in (*activation, output_activation)]
    sets = {len(x) for x in operands[1:]} - {1} | ({len(samples)} if samples.ndim == 3 else set())
    n_sets = sets.pop() if sets else 1
    _, n_subnets, d, _ = layers[0][0].shape
    x = np.broadcast_to(samples, (n_sets, *samples.shape[-2:])).astype(dtype)
    inputs = np.arange(n_subnets * d).reshape(n_subnets, d) if inputs is None else inputs
    networks = []
    for s in range(n_subnets):
        network = Network([], [], [[x[:, :, f] for f in inputs[s]]])
        for (weight, bias), function in zip(layers, activations, strict=True):
            _, _, n_in, n_out = weight.shape
            w = [
                [weight[:, s, j, k].astype(dtype)[:, None] for k in range(n_out)]
                for j in range(n_in)
            ]
            sums = []
            for k in range(n_out):
                terms = [] if bias is None else [bias[:, s, k].astype(dtype)[:, None]]
                terms += [h * w[j][k] for j, h in enumerate(network.values[-1])]
                z = terms[0]
                for term in terms[1:]:
                    z = z + term
                sums.append(np.broadcast_to(z, x.shape[:2]))
            network.weights.append(w)
            network.sums.append(sums)
            network.values.append([activated(z, function) for z in sums])
        networks.append(network)
    return Model(dtype, layers, activations, inputs, intercept, networks, x.shape[:2])


def loss_of(predictions, targets, loss):
    """Return the loss of one network's outputs, and its derivatives."""
    if loss == CATEGORICAL:
        logits, (label,) = [Number(p) for p in predictions], targets
        value, slopes = loss_recipes.categorical_crossentropy_from_logits(
            logits, Number(label), form_of(predictions[0].dtype)
        )
        return value.array, [s.array for s in slopes]
    pairs = [judged(p, t, loss) for p, t in zip(predictions, targets, strict=True)]
    values, slopes = zip(*pairs, strict=True)
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total, list(slopes)


def backward(model, s, delta):
    """Return the gradients of one network's weights and biases, and delta of its inputs."""
    network = model.networks[s]
    over_samples = lambda terms: summed(np.broadcast_to(terms, model.shape).T)  # noqa: E731
    gradients = []
    for number in reversed(range(len(model.layers))):
        h, w = network.values[number], network.weights[number]
        of_weight = [[over_samples(x * d) for d in delta] for x in h]
        gradients.append((of_weight, [over_samples(d) for d in delta]))
        before = []
        for j in range(len(h)):
            total = w[j][0] * delta[0]
            for k in range(1, len(delta)):
                total = total + w[j][k] * delta[k]
            if number:
                z, function = network.sums[number - 1][j], model.activations[number - 1]
                total = slope_of(z, function, total)
            before.append(total)
        delta = before
    return gradients[::-1], delta


def assembled(model, found, number, i):
    """Return gradients of a layer's weight (i = 0) or bias of all networks, (N, S, ...)."""
    n_sets = model.shape[0]
    shape = model.layers[number][i].shape[1:]
    gradients = np.array([g[number][i] for g in found]).reshape(*shape, n_sets)
    return np.moveaxis(gradients, -1, 0)


def mlp_mean_loss(*operands, **options):
    return mlp_mean_loss_and_grad(*operands, **options)[0]


def mlp_mean_loss_and_grad(
    samples,
    layers,
    targets,
    *,
    loss="squared_error",
    activation="relu",
    output_activation=None,
    inputs=None,
    additive=False,
    intercept=None,
    sample_weight=None,
    per_subnetwork=False,
    dtype="float64",
):
    with np.errstate(all="ignore"):
        model = model_of(samples, layers, activation, output_activation, inputs, intercept)
        n_sets, n_samples = model.shape
        n_outputs = (
            layers[-1][0].shape[3] if isinstance(layers[-1], tuple) else (layers[-1].shape[3])
        )
        n_subnets = len(model.networks)
        factor, count = factors(sample_weight, model.dtype, n_samples)
        wide = 1 if loss == CATEGORICAL else n_outputs
        targets = targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets
        t = targets.astype(model.dtype)
        if t.ndim == 1:
            t = np.broadcast_to(t[:, None, None], (n_samples, n_subnets, wide))
        elif additive or (t.ndim == 2 and n_outputs > 1 and loss != CATEGORICAL):
            t = np.broadcast_to(t[:, None], (n_samples, n_subnets, wide))  # for S = 1
        t = t.reshape(n_samples, n_subnets, wide)

        def weighted(x):
            return np.broadcast_to(x * factor, model.shape)

        totals, deltas, of_intercept = [], [], []
        if additive:
            one = targets.astype(model.dtype)
            one = one if one.ndim == 2 else one[:, None]
            one = np.broadcast_to(one, (n_samples, wide))
            value, slopes = loss_of(model.additive(), one.T, loss)
            slopes = [weighted(x) for x in slopes]
            totals.append(summed(weighted(value).T))
            of_intercept = [summed(x.T) for x in slopes]
            deltas = [
                [
                    slope_of(z, model.activations[-1], x)
                    for z, x in zip(network.sums[-1], slopes, strict=True)
                ]
                for network in model.networks
            ]
        else:
            for s, network in enumerate(model.networks):
                value, slopes = loss_of(network.values[-1], t[:, s].T, loss)
                slopes = [
                    weighted(slope_of(z, model.activations[-1], x))
                    for z, x in zip(network.sums[-1], slopes, strict=True)
                ]
                totals.append(summed(weighted(value).T))
                deltas.append(slopes)
        found = [backward(model, s, delta)[0] for s, delta in enumerate(deltas)]
        value = np.array(totals).reshape(len(totals), n_sets).T
        count = count * wide
        if not per_subnetwork:
            value, count = tree(value.T), count * (1 if additive else n_subnets)
        count = np.nan if np.all(count == 0) else count
        grads = tuple(
            tuple(
                None
                if x is None
                else cast(assembled(model, found, number, i) / count, floating(x, model.dtype))
                for i, x in enumerate(layer)
            )
            for number, layer in enumerate(model.layers)
        )
        grad_intercept = None
        if intercept is not None:
            grad_intercept = np.array(of_intercept).reshape(n_outputs, n_sets).T / count
            grad_intercept = cast(grad_intercept, floating(intercept, model.dtype))
        return cast(value / count, np.dtype(dtype)), grads, grad_intercept


def mlp_vjp(
    samples,
    layers,
    cotangent,
    *,
    activation="relu",
    output_activation=None,
    inputs=None,
    additive=False,
    intercept=None,
):
    with np.errstate(all="ignore"):
        model = model_of(samples, layers, activation, output_activation, inputs, intercept)
        n_sets = model.shape[0]
        c = cotangent.astype(model.dtype)
        n_outputs = c.shape[-1]
        found, of_inputs = [], []
        for s, network in enumerate(model.networks):
            delta = [
                slope_of(z, model.activations[-1], c[:, :, p] if additive else c[:, :, s, p])
                for p, z in enumerate(network.sums[-1])
            ]
            gradients, delta = backward(model, s, delta)
            found.append(gradients)
            of_inputs.append(delta)

        def shared(gradient, operand):
            if len(operand) != n_sets:
                gradient = tree(gradient)[None]
            return cast(gradient, floating(operand, model.dtype))

        grads = tuple(
            tuple(
                None if x is None else shared(assembled(model, found, number, i), x)
                for i, x in enumerate(layer)
            )
            for number, layer in enumerate(model.layers)
        )
        grad_intercept = None
        if intercept is not None:
            sums = np.array([summed(c[:, :, p].T) for p in range(n_outputs)])
            grad_intercept = shared(sums.reshape(n_outputs, n_sets).T, intercept)
        over_sets = samples.ndim == 2
        grad_samples = np.zeros(samples.shape if over_sets else (n_sets, *samples.shape[1:]))
        for s, delta in enumerate(of_inputs):
            for f, d in zip(model.inputs[s], delta, strict=True):
                d = np.broadcast_to(d, model.shape)
                grad_samples[..., f] += summed(d) if over_sets else d
        return cast(grad_samples, floating(samples, model.dtype)), grads, grad_intercept
