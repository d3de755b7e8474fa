"""Networks with hidden layers: (N, B, S, K), mean squared errors (N,), and gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from tasks import NETWORK_LOSSES, NETWORKS, Task, mapped

import multisubnet as ms

from .contender import CPU, ENGINE, GPU, OURS, Library, Run, contender
from .one_layer import backward


@contender(
    "multisubnet, NumPy", functions=NETWORKS, devices=CPU, inside=lambda: ms.use_backend("numpy")
)
@contender(OURS, functions=NETWORKS, devices=GPU)
@contender(OURS, functions=NETWORKS, **ENGINE)
def _multisubnet(lib, task, *operands):
    return partial(getattr(ms, task.function), *operands)


@contender("multisubnet, additive", functions=("mlp",), is_additive=True, **ENGINE)
def _additive(lib, task, *operands):
    return partial(ms.mlp, *operands, additive=True)


@contender("multiply and add", functions=NETWORKS, is_limit=True, **ENGINE)
def _multiply_and_add(lib, task, *operands):
    import limits

    return partial(limits.multiply_and_add, task.n_products)


# Layouts of other libraries.


def _networks_first(task: Task, result: Any) -> Any:
    """Return (N, B, S, K) of what has all networks of all sets before samples and outputs.

    Of losses and gradients return rows, one for each set.
    """
    n_sets, n_samples, _ = task.size
    if task.function != "mlp":
        return result.reshape(n_sets, -1)
    return result.reshape(n_sets, task.n_subnets, n_samples, -1).swapaxes(1, 2)


def _per_network(samples: Any, layers: Any) -> Any:
    """Return samples as (S, B, inputs)."""
    n_subnets, n_inputs = layers[0][0].shape[1:3]
    return samples.reshape(len(samples), n_subnets, n_inputs).swapaxes(0, 1)


# PyTorch.

_OUTPUTS: dict[str, Any] = {"functions": ("mlp",), "arranged": _networks_first}


def _batched(
    compiles: bool, lib: Library, task: Task, samples: Any, layers: Any, *targets: Any
) -> Run:
    """Return batched products of matrices, compiled or not, or losses of them."""
    torch, n_sets = lib.xp, task.size[0]
    x = _per_network(samples, layers).contiguous().repeat(n_sets, 1, 1)
    wanted = [array.swapaxes(0, 1).contiguous().repeat(n_sets, 1, 1) for array in targets]
    flat = [
        array.reshape(n_sets * task.n_subnets, *rest)
        for weight, bias in layers
        for array, rest in ((weight, weight.shape[2:]), (bias, (1, bias.shape[2])))
    ]

    def evaluate(*flat):
        h = x
        for i in range(0, len(flat), 2):
            h = torch.baddbmm(flat[i + 1], torch.relu(h) if i else h, flat[i])
        return (h - wanted[0]).square().reshape(n_sets, -1).mean(1) if wanted else h

    function = torch.compile(evaluate, dynamic=False) if compiles else evaluate
    if task.function == "mlp_mean_loss_and_grad":
        return backward(lib, function, flat, (), 1)
    return partial(function, *flat)


_options = _OUTPUTS | {"functions": NETWORKS}
contender("torch.baddbmm", "torch", **_options)(partial(_batched, False))
contender("torch.baddbmm, compiled", "torch", **_options)(partial(_batched, True))


@contender("torch.conv1d, grouped", "torch", **_OUTPUTS)
def _grouped(lib, task, samples, layers):
    """Grouped convolutions of length 1, a group for each network."""
    torch = lib.xp
    groups = task.size[0] * task.n_subnets
    x = samples.T.contiguous().repeat(task.size[0], 1)[None]
    flat = [
        (weight.swapaxes(2, 3).reshape(-1, weight.shape[2], 1).contiguous(), bias.reshape(-1))
        for weight, bias in layers
    ]

    def run():
        h = x
        for number, (weight, bias) in enumerate(flat):
            h = torch.conv1d(torch.relu(h) if number else h, weight, bias, groups=groups)
        return h.reshape(groups, -1, len(samples)).transpose(1, 2)

    return run


def _stack(lib: Library, linear: Callable[..., Any], layers: Any) -> Any:
    """Return a module of linear layers and relus with these weights and biases."""
    modules: list[Any] = []
    for weight, bias in layers:
        module = linear(*weight.shape[-2:])
        module.weight.data, module.bias.data = weight, bias
        modules += [module, lib.xp.nn.ReLU()]
    return lib.xp.nn.Sequential(*modules[:-1])


def _few_networks(task: Task) -> bool:
    return task.size[0] * task.n_subnets <= 10_000


@contender("torch loop over modules", "torch", can=_few_networks, **_OUTPUTS)
def _modules(lib, task, samples, layers):
    torch, inputs = lib.xp, _per_network(samples, layers).contiguous()
    pairs = []
    for n, s in np.ndindex(task.size[0], task.n_subnets):
        own = [(weight[n, s], bias[n, s].clone()) for weight, bias in layers]
        module = _stack(lib, torch.nn.Linear, own)
        for layer in module[::2]:
            layer.weight.data = lib.transposed(layer.weight.data)
        pairs.append((module, inputs[s]))
    return lambda: torch.stack([module(x) for module, x in pairs])


@contender("tabm.LinearEnsemble", "torch", requires=("tabm",), **_OUTPUTS)
def _tabm(lib, task, samples, layers):
    """TabM's layers for ensembles, of which all networks of all sets are members."""
    import tabm

    k = task.size[0] * task.n_subnets
    flat = mapped(lambda array: array.reshape(k, *array.shape[2:]), layers)
    model = _stack(lib, partial(tabm.LinearEnsemble, k=k), flat)
    x = _per_network(samples, layers).swapaxes(0, 1).repeat(1, task.size[0], 1)
    return lambda: model(x).transpose(0, 1)


# JAX and Keras.


@contender("jax.jit(vmap(vmap(vmap)))", "jax", functions=NETWORKS[:1], arranged=_networks_first)
@contender(
    "jax.jit(vmap(value_and_grad))", "jax", functions=NETWORK_LOSSES, arranged=_networks_first
)
def _in_jax(lib, task, samples, layers, *targets):
    """A network of one sample, mapped over samples, networks and sets."""
    jax, jnp = lib.xp, lib.np

    def network(x, layers):
        h = x
        for number, (weight, bias) in enumerate(layers):
            h = (jnp.maximum(h, 0) if number else h) @ weight + bias
        return h

    over_subnets = jax.vmap(jax.vmap(network, (0, None)))

    def mean_loss(layers, x, wanted):
        return jnp.mean((over_subnets(x, layers) - wanted) ** 2)

    x = _per_network(samples, layers)
    if not targets:
        return lib.compiled(jax.vmap(over_subnets, (None, 0)), (x, layers))
    wanted = targets[0].swapaxes(0, 1)
    of_set = jax.value_and_grad(mean_loss) if task.function == NETWORK_LOSSES[1] else mean_loss
    return lib.compiled(jax.vmap(of_set, (0, None, None)), (layers, x, wanted))


def _few_sets(task: Task) -> bool:  # a call for one takes some 30 ms
    return task.size[0] <= 100


@contender("Keras predict per set", requires=("keras",), devices=CPU, can=_few_sets, **_OUTPUTS)
def _in_keras(lib, task, samples, layers):
    import keras

    model = keras.Sequential([keras.Input((task.n_subnets, layers[0][0].shape[2]))])
    for number, (weight, _) in enumerate(layers):
        activation = "relu" if number + 1 < len(layers) else None
        shape = task.n_subnets, weight.shape[3]
        options = {"activation": activation, "bias_axes": "sk"}
        model.add(keras.layers.EinsumDense("bsi,sik->bsk", shape, **options))
    x = np.ascontiguousarray(_per_network(samples, layers).swapaxes(0, 1))

    def one(n):
        model.set_weights([array[n] for layer in layers for array in layer])
        return model.predict(x, batch_size=1024, verbose=0)

    return lambda: np.stack([one(n) for n in range(task.size[0])]).swapaxes(1, 2)
