"""Time networks on the CPU beside other libraries, and beside the multiply and add pipes.

    python benchmarks/networks.py [--seconds 2] [--only 0 1 ...] [--functions outputs loss gradient]
    python benchmarks/networks.py --write benchmarks/results/networks-cpu.json
    MULTISUBNET_NUM_THREADS=1 taskset -c 0 python benchmarks/networks.py --processor-time

Losses are mean squared errors of each set; gradients are theirs, with the losses. Each contender
computes the same (it is compared before it is timed). All take turns in one process, in rounds,
each round in a random order; medians count. A contender whose call takes longer than a second is
timed once. The limit is a loop that multiplies and adds vectors in registers, on as many threads.
Results are added to those in the file; a row replaces that of the same function and size. On a
machine that does other work at the same time, the last form counts the time that the processor
spends on one core.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import machine
import memory
import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

import multisubnet as ms
from multisubnet._backends.numba import mlp_engine, threads
from multisubnet._backends.numba.llvm.vectors import INT64, emit_splat

Clock = Callable[[], float]
CHAINS = 12  # of products and of sums, in the loop of the limit


class Size(NamedTuple):
    """N sets of networks on B samples of F features; one per feature, or one of all of them."""

    n_sets: int
    n_samples: int
    n_features: int
    widths: tuple[int, ...]

    @property
    def n_subnets(self) -> int:
        """S."""
        return self.n_features if self.widths[0] == 1 else 1

    @property
    def n_products(self) -> int:
        """How many products, each of which is added to a sum."""
        of_one = sum(a * b for a, b in itertools.pairwise(self.widths))
        return self.n_sets * self.n_samples * self.n_subnets * of_one


SIZES = [
    *(Size(100, 569, 30, (1, h, h, 1)) for h in (8, 16, 32, 64)),
    Size(100, 569, 30, (1, 16, 1)),
    Size(1000, 1000, 1, (1, 16, 16, 1)),
    Size(1000, 64, 8, (8, 16, 16, 4)),
    Size(10, 100, 30, (1, 16, 16, 1)),
    Size(2, 2, 2, (1, 4, 1)),
    Size(100_000, 1, 1, (1, 16, 16, 1)),
    Size(1, 10_000, 30, (1, 16, 16, 1)),
    Size(100_000, 64, 8, (8, 16, 16, 4)),
    *(Size(10, 1000, h, (h, h, h, 1)) for h in (32, 64, 128, 256)),  # where a BLAS wins
]
JUDGED = SIZES[:9]  # of which there are losses and gradients


def operands(size: Size) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Return samples and layers, float32."""
    rng = np.random.default_rng(0)
    shape = size.n_sets, size.n_subnets
    layers = [
        (
            (rng.normal(size=(*shape, before, after)) / np.sqrt(before)).astype("f4"),
            rng.normal(size=(*shape, after)).astype("f4"),
        )
        for before, after in itertools.pairwise(size.widths)
    ]
    return rng.normal(size=(size.n_samples, size.n_features)).astype("f4"), layers


# Contenders: functions of samples and layers that return a call, whose result has all outputs.


def ours(samples: Any, layers: Any, **options: Any) -> Callable[[], np.ndarray]:
    """Return the call of the compiled engine."""

    def call():
        with ms.use_backend("numba"):
            return ms.mlp(samples, layers, **options)

    return call


def ours_additive(samples: Any, layers: Any) -> Callable[[], np.ndarray]:
    """Return the call of the compiled engine that adds the networks up."""
    return ours(samples, layers, additive=True)


def ours_numpy(samples: Any, layers: Any) -> Callable[[], np.ndarray]:
    """Return the call of the reference."""

    def call():
        with ms.use_backend("numpy"):
            return ms.mlp(samples, layers)

    return call


def _torch_batched(samples: Any, layers: Any) -> tuple[Callable[..., Any], Any, list[Any]]:
    import torch

    n_sets, n_subnets = layers[0][0].shape[:2]
    n_samples, n_features = samples.shape
    n_inputs = layers[0][0].shape[2]
    x = torch.from_numpy(samples.T.reshape(n_features // n_inputs, n_inputs, n_samples).copy())
    x = x.transpose(1, 2).contiguous().repeat(n_sets, 1, 1)
    flat = [
        torch.from_numpy(array.reshape(n_sets * n_subnets, *rest))
        for weight, bias in layers
        for array, rest in ((weight, weight.shape[2:]), (bias, (1, bias.shape[2])))
    ]

    def evaluate(x, *flat):
        h = x
        for i in range(0, len(flat), 2):
            h = torch.baddbmm(flat[i + 1], h, flat[i])
            if i + 2 < len(flat):
                h = torch.relu(h)
        return h

    return evaluate, x, flat


def torch_baddbmm(samples: Any, layers: Any) -> Callable[[], Any]:
    """Return batched products of matrices in PyTorch's eager mode."""
    evaluate, x, flat = _torch_batched(samples, layers)
    return lambda: evaluate(x, *flat)


def torch_compile(samples: Any, layers: Any) -> Callable[[], Any]:
    """Return the same, compiled."""
    import torch

    evaluate, x, flat = _torch_batched(samples, layers)
    compiled = torch.compile(evaluate, dynamic=False)
    return lambda: compiled(x, *flat)


def torch_grouped(samples: Any, layers: Any) -> Callable[[], Any]:
    """Return grouped convolutions of length 1, a group for each network."""
    import torch

    n_sets, n_subnets = layers[0][0].shape[:2]
    groups = n_sets * n_subnets
    x = torch.from_numpy(samples.T.copy()).repeat(n_sets, 1)[None]
    flat = [
        (
            torch.from_numpy(weight.swapaxes(2, 3).reshape(-1, weight.shape[2], 1).copy()),
            torch.from_numpy(bias.reshape(-1)),
        )
        for weight, bias in layers
    ]

    def call():
        h = x
        for number, (weight, bias) in enumerate(flat):
            h = torch.conv1d(h, weight, bias, groups=groups)
            if number + 1 < len(flat):
                h = torch.relu(h)
        return h.reshape(groups, -1, len(samples)).transpose(1, 2)

    return call


def jax_vmap(samples: Any, layers: Any) -> Callable[[], Any]:
    """Return a network of one sample, mapped over samples, networks and sets, compiled."""
    import jax
    import jax.numpy as jnp

    n_inputs = layers[0][0].shape[2]

    def network(x, layers):
        h = x
        for number, (weight, bias) in enumerate(layers):
            h = h @ weight + bias
            if number + 1 < len(layers):
                h = jnp.maximum(h, 0)
        return h

    over_samples = jax.vmap(network, (0, None))
    over_subnets = jax.vmap(over_samples, (1, 0))
    evaluate = jax.jit(jax.vmap(over_subnets, (None, 0)))
    x = jnp.asarray(samples.reshape(len(samples), -1, n_inputs))
    layers = [tuple(map(jnp.asarray, layer)) for layer in layers]
    return lambda: evaluate(x, layers).block_until_ready()


def torch_einsum(samples: Any, layers: Any) -> Callable[[], Any]:
    """Return a stack of einsums over all networks."""
    import torch

    n_sets, n_subnets, n_inputs, _ = layers[0][0].shape
    x = torch.from_numpy(samples.reshape(len(samples), n_subnets, n_inputs))
    x = x.transpose(0, 1).expand(n_sets, -1, -1, -1)
    flat = [tuple(map(torch.from_numpy, layer)) for layer in layers]

    @torch.inference_mode()
    def call():
        h = x
        for number, (weight, bias) in enumerate(flat):
            h = torch.einsum("nsbi,nsik->nsbk", h, weight) + bias[:, :, None]
            if number + 1 < len(flat):
                h = torch.relu(h)
        return h

    return call


def _stack(linear: Callable[..., Any], layers: Any, s: Any, weights: Callable[[Any], Any]) -> Any:
    """Return a torch module of linear layers and relus with weights and biases at `s`."""
    import torch

    modules: list[Any] = []
    for weight, bias in layers:
        module = linear(*weight.shape[2:])
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(weights(weight[s])))
            module.bias.copy_(torch.from_numpy(bias[s]))
        modules += [module, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def torch_modules(samples: Any, layers: Any) -> Callable[[], Any]:
    """Return a loop over modules, one for each set and network."""
    import torch

    n_sets, n_subnets, n_inputs, _ = layers[0][0].shape
    if n_sets * n_subnets > 10_000:
        raise ImportError("too many modules")
    indices = list(np.ndindex(n_sets, n_subnets))
    modules = [_stack(torch.nn.Linear, layers, index, lambda w: w.T) for index in indices]
    inputs = torch.from_numpy(samples.reshape(len(samples), n_subnets, n_inputs)).unbind(1)
    pairs = list(zip(modules, indices, strict=True))

    @torch.inference_mode()
    def call():
        return torch.stack([module(inputs[s]) for module, (_, s) in pairs])

    return call


def tabm_ensemble(samples: Any, layers: Any) -> Callable[[], Any]:
    """Return TabM's layers for ensembles, of which all networks of all sets are members."""
    import tabm
    import torch

    n_sets, n_subnets, n_inputs, _ = layers[0][0].shape
    k = n_sets * n_subnets
    flat = [[x.reshape(1, k, *x.shape[2:]) for x in layer] for layer in layers]

    def linear(n_in: int, n_out: int) -> Any:
        return tabm.LinearEnsemble(n_in, n_out, k=k)

    model = _stack(linear, flat, 0, lambda w: w)
    x = torch.from_numpy(samples.reshape(len(samples), n_subnets, n_inputs)).repeat(1, n_sets, 1)

    @torch.inference_mode()
    def call():
        return model(x).transpose(0, 1)

    return call


def keras_predict(samples: Any, layers: Any) -> Callable[[], Any]:
    """Return Keras' `predict`, once for each set, whose weights are put into the model."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    n_sets, n_subnets, n_inputs, _ = layers[0][0].shape
    if n_sets > 100:
        raise ImportError("each call takes some 30 ms")
    model = keras.Sequential([keras.Input((n_subnets, n_inputs))])
    for number, (weight, _) in enumerate(layers):
        shape = (n_subnets, weight.shape[3])
        hidden = number + 1 < len(layers)
        model.add(
            keras.layers.EinsumDense(
                "bsi,sik->bsk", shape, activation="relu" if hidden else None, bias_axes="sk"
            )
        )
    x = samples.reshape(len(samples), n_subnets, n_inputs)

    def call():
        results = []
        for n in range(n_sets):
            model.set_weights([array[n] for layer in layers for array in layer])
            results.append(model.predict(x, batch_size=1024, verbose=0))
        return np.stack(results).swapaxes(1, 2)

    return call


# Contenders for losses, or losses and gradients: of samples, layers, targets, and which of the two.
# The first result is the losses of sets, the second the gradient of the first layer's weight.


def _ours_judged(backend: str, samples: Any, layers: Any, targets: Any, gradient: bool) -> Any:
    def call():
        with ms.use_backend(backend):
            if not gradient:
                return (ms.mlp_mean_loss(samples, layers, targets),)
            loss, gradients, _ = ms.mlp_mean_loss_and_grad(samples, layers, targets)
            return loss, gradients[0][0]

    return call


def _torch_judged(compiles: bool, samples: Any, layers: Any, targets: Any, gradient: bool) -> Any:
    import torch

    evaluate, x, flat = _torch_batched(samples, layers)
    n_sets = len(layers[0][0])
    wanted = torch.from_numpy(targets.transpose(1, 0, 2).copy()).repeat(n_sets, 1, 1)

    def judge(x, wanted, *flat):
        error = evaluate(x, *flat) - wanted
        return (error * error).reshape(n_sets, -1).mean(1)

    judge = torch.compile(judge, dynamic=False) if compiles else judge
    if not gradient:
        return lambda: (judge(x, wanted, *flat),)
    flat = [array.requires_grad_() for array in flat]

    def call():
        losses = judge(x, wanted, *flat)
        return losses.detach(), torch.autograd.grad(losses.sum(), flat)[0]

    return call


def _jax_judged(samples: Any, layers: Any, targets: Any, gradient: bool) -> Any:
    import jax
    import jax.numpy as jnp

    n_inputs = layers[0][0].shape[2]

    def network(x, layers):
        h = x
        for number, (weight, bias) in enumerate(layers):
            h = h @ weight + bias
            h = jnp.maximum(h, 0) if number + 1 < len(layers) else h
        return h

    over_subnets = jax.vmap(jax.vmap(network, (0, None)), (1, 0), 1)

    def judge(layers, x, wanted):
        return jnp.mean((over_subnets(x, layers) - wanted) ** 2)

    of_set = jax.value_and_grad(judge) if gradient else judge
    evaluate = jax.jit(jax.vmap(of_set, (0, None, None)))
    x, wanted = jnp.asarray(samples.reshape(len(samples), -1, n_inputs)), jnp.asarray(targets)
    layers = [tuple(map(jnp.asarray, layer)) for layer in layers]

    def call():
        found = jax.block_until_ready(evaluate(layers, x, wanted))
        return (found[0], found[1][0][0]) if gradient else (found,)

    return call


JUDGES: dict[str, Callable[..., Callable[[], Any]]] = {
    "multisubnet": partial(_ours_judged, "numba"),
    "multisubnet, NumPy": partial(_ours_judged, "numpy"),
    "torch.baddbmm": partial(_torch_judged, False),
    "torch.baddbmm, compiled": partial(_torch_judged, True),
    "jax.jit(vmap(value_and_grad))": _jax_judged,
}
CONTENDERS: dict[str, Callable[..., Callable[[], Any]]] = {
    "multisubnet": ours,
    "multisubnet, additive": ours_additive,
    "multisubnet, NumPy": ours_numpy,
    "torch.baddbmm": torch_baddbmm,
    "torch.baddbmm, compiled": torch_compile,
    "torch.conv1d, grouped": torch_grouped,
    "torch.einsum, as dnamite": torch_einsum,
    "torch loop over modules": torch_modules,
    "tabm.LinearEnsemble": tabm_ensemble,
    "jax.jit(vmap(vmap(vmap)))": jax_vmap,
    "Keras predict per set": keras_predict,
}
OURS = "multisubnet", "multisubnet, additive", "multisubnet, NumPy"


@intrinsic
def _multiply_and_add(typingctx, out, turns):
    """Multiply and add vectors in registers, CHAINS of each in a turn."""
    lanes = mlp_engine._lanes(np.dtype(np.float32))

    def codegen(context, builder, signature, arguments):
        address, turns = arguments
        vector = ir.VectorType(ir.FloatType(), lanes)
        factor = builder.load(builder.inttoptr(address, ir.FloatType().as_pointer()))
        factor = emit_splat(builder, factor, vector)
        products = [cgutils.alloca_once_value(builder, factor) for _ in range(CHAINS)]
        sums = [cgutils.alloca_once_value(builder, factor) for _ in range(CHAINS)]
        with cgutils.for_range(builder, turns):
            for product, total in zip(products, sums, strict=True):
                value = builder.fmul(builder.load(product), factor)
                builder.store(value, product)
                builder.store(builder.fadd(builder.load(total), value), total)
        total = builder.load(sums[0])
        for other in sums[1:]:
            total = builder.fadd(total, builder.load(other))
        place = builder.inttoptr(builder.add(address, INT64(64)), vector.as_pointer())
        builder.store(total, place, align=4)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


@njit(nogil=True)
def _turn(memory, turns):
    _multiply_and_add(memory.ctypes.data, turns)


def limit(clock: Clock) -> float:
    """Return how many products a second all threads can add to sums in registers."""
    turns, n_threads = 1_000_000, threads.limit()
    lanes = mlp_engine._lanes(np.dtype(np.float32))
    memory = np.ones((n_threads, 64), np.float32)
    _turn(memory[0], 1)

    def seconds() -> float:
        begin = clock()
        pieces = ((i,) for i in range(n_threads))
        threads.run(lambda i: _turn(memory[i], turns), pieces, n_threads)
        return clock() - begin

    return n_threads * turns * CHAINS * lanes / min(seconds() for _ in range(9))


def outputs_of(size: Size) -> dict[str, Callable[[], Any]]:
    """Return the calls of contenders for outputs, which are compared."""
    samples, layers = operands(size)
    wanted = ms.mlp(samples, layers)
    calls = {}
    for name, make in CONTENDERS.items():
        try:
            call = make(samples, layers)
            result = np.asarray(call())
        except ImportError:
            continue
        if name != "multisubnet, additive":
            result = result.reshape(size.n_sets, size.n_subnets, size.n_samples, -1)
            result = result if name not in OURS else np.asarray(call()).swapaxes(1, 2)
            np.testing.assert_allclose(result.swapaxes(1, 2), wanted, 1e-3, 1e-3, err_msg=name)
        calls[name] = call
    return calls


def losses_of(size: Size, gradient: bool) -> dict[str, Callable[[], Any]]:
    """Return the calls of contenders for losses, and perhaps gradients, which are compared."""
    samples, layers = operands(size)
    shape = size.n_samples, size.n_subnets, size.widths[-1]
    targets = np.random.default_rng(1).normal(size=shape).astype("f4")
    calls, wanted = {}, None
    for name, make in JUDGES.items():
        try:
            call = make(samples, layers, targets, gradient)
            found = [np.asarray(array) for array in call()]
        except ImportError:
            continue
        wanted = found if wanted is None else wanted
        for array, expected in zip(found, wanted, strict=True):
            largest = abs(expected).max()
            array = array.reshape(expected.shape)
            np.testing.assert_allclose(array, expected, rtol=1e-3, atol=1e-4 * largest)
        calls[name] = call
    return calls


FUNCTIONS: dict[str, tuple[Callable[[Size], dict[str, Callable[[], Any]]], int]] = {
    "outputs": (outputs_of, 1),
    "loss": (partial(losses_of, gradient=False), 1),
    "gradient": (partial(losses_of, gradient=True), 3),  # times as many products
}


def measure(
    calls: dict[str, Callable[[], Any]], seconds: float, clock: Clock
) -> tuple[dict[str, float], dict[str, int | None]]:
    """Return the median time and the peak of memory of each contender."""
    times: dict[str, list[float]] = {}
    peaks = {}
    for name, call in calls.items():
        begin = clock()
        peaks[name] = memory.extra_peak(call)
        times[name] = [clock() - begin]
    fast = [name for name, (first,) in times.items() if first < 1 or name == "multisubnet"]
    rng = random.Random(0)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(len(times[name]) for name in fast) < 4:
        for name in rng.sample(fast, len(fast)):
            calls[name]()  # threads of the contender before are at rest after that
            repeats = max(1, round(1e-3 / max(times[name][-1], 1e-6)))
            begin = clock()
            for _ in range(repeats):
                calls[name]()
            times[name].append((clock() - begin) / repeats)
    medians = {name: statistics.median(found[1:] or found) for name, found in times.items()}
    return medians, peaks


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows of results, and those of the file that are not of the same functions and sizes."""

    def of(row: dict[str, Any]) -> str:
        return json.dumps([row["function"], row["size"]])

    new = {of(row) for row in rows}
    old = json.loads(file.read_text())["results"] if file.exists() else []
    text = {
        "machine": machine.describe(),
        "versions": machine.versions(),
        "date": time.strftime("%Y-%m-%d"),
        "results": [row for row in old if of(row) not in new] + rows,
    }
    file.write_text(json.dumps(text, indent=1) + "\n")


def main() -> None:
    """Measure, print a table, and write the results if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each size")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of sizes")
    parser.add_argument("--functions", nargs="*", choices=FUNCTIONS, default=list(FUNCTIONS))
    parser.add_argument("--write", type=Path, help="a .json file for the results")
    parser.add_argument("--processor-time", action="store_true")
    options = parser.parse_args()
    clock = time.process_time if options.processor_time else time.perf_counter
    results = []
    for (number, size), function in itertools.product(enumerate(SIZES), options.functions):
        if number not in (range(len(SIZES)) if options.only is None else options.only):
            continue
        if function != "outputs" and size not in JUDGED:
            continue
        contenders, times = FUNCTIONS[function]
        most = limit(clock)
        found, peaks = measure(contenders(size), options.seconds, clock)
        ours_ms, peers = found["multisubnet"] * 1e3, found.keys() - set(OURS)
        rate = times * size.n_products / found["multisubnet"]
        print(
            f"{function} of {tuple(size[:3])}, {'-'.join(map(str, size.widths))}: "
            f"{ours_ms:.4g} ms, {rate / 1e9:.1f} of {most / 1e9:.0f} GMAC/s"
        )
        for name in sorted(found, key=found.__getitem__):
            ratio = found[name] / found["multisubnet"]
            peak = "" if peaks[name] is None else f"{peaks[name] / 2**20:9.1f} MiB"
            print(f"    {name:28} {found[name] * 1e3:10.4g} ms {ratio:8.2f} {peak}", flush=True)
        if peers:
            best = min(peers, key=found.__getitem__)
            print(f"    best peer: {best}, {found[best] / found['multisubnet']:.1f} times our time")
        row = {"function": function, "size": [*size[:3], list(size.widths)], "limit": most}
        results.append(row | {"seconds": found, "peak_bytes": peaks})
        if options.write:
            write(options.write, results)


if __name__ == "__main__":
    main()
