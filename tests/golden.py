"""Golden bits: the SHA-256 of results for a fixed table of inputs.

Backends that agree may still be wrong together. The hashes in golden.json define the bits. After an
intended change, `python tests/golden.py` rewrites them. It needs a line in the CHANGELOG, because
users' bits change.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from pathlib import Path
from unittest import mock

import numpy as np

import multisubnet as ms
from multisubnet._arithmetic.activation_recipes import RECIPES
from multisubnet._arithmetic.output_loss import CATEGORICAL
from multisubnet._functions import loss_problem
from multisubnet._functions.loss_problem import LOSSES
from multisubnet.testing import DTYPES

ACTIVATIONS = [
    function
    for activation in (
        *map(ms.Activation, sorted(RECIPES)),
        ms.Activation("leaky_relu", negative_slope=0.3),
        ms.Activation("elu", alpha=0.7),
    )
    for function in (activation, activation.derivative)
]
ACTIVATION_OF = {"binary_crossentropy": "sigmoid", "poisson": "softplus"}  # they need p > 0
FILE = Path(__file__).with_suffix(".json")


def operands(dtype: str) -> list[np.ndarray]:
    """Return samples, weight and bias: half special values, half uniformly drawn bits."""
    dtype = np.dtype(dtype)
    shapes = [(37, 53), (11, 53), (11, 53)]
    parts = 2 if dtype.kind == "c" else 1
    arrays = []
    for i, shape in enumerate(shapes):
        size = int(np.prod(shape)) * parts
        bits = _mixed(np.arange(size, dtype=np.uint64) + np.uint64(1 + i * 10**6))
        arrays.append(_of_bits(bits, dtype, parts).reshape(shape))
    return arrays


def _mixed(x: np.ndarray) -> np.ndarray:
    """Return the SplitMix64 hashes of integers (Steele, Lea and Flood, 2014)."""
    x = x * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _of_bits(bits: np.ndarray, dtype: np.dtype, parts: int) -> np.ndarray:
    if dtype.kind == "b":
        return (bits & np.uint64(1)).astype(bool)
    itemsize = dtype.itemsize // parts
    numbers = (bits >> np.uint64(64 - 8 * itemsize)).astype(f"u{itemsize}")
    if dtype.kind in "iu":
        return numbers.view(dtype)
    numbers = numbers.view(f"f{itemsize}")
    finfo = np.finfo(numbers.dtype)
    special = [0.0, 1.0, finfo.tiny, finfo.smallest_subnormal, finfo.tiny / 2, finfo.max, np.inf]
    special = np.array([sign * x for x in [*special, np.nan] for sign in (1, -1)], numbers.dtype)
    # Every other number has an exponent near that of 1, so that sums are rounded.
    numbers = np.where(bits & np.uint64(1), numbers, _moderate(bits, numbers.dtype))
    numbers[::5] = special[(bits[::5] >> np.uint64(5)) % np.uint64(len(special))]
    return numbers.view(dtype)


def _moderate(bits: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return (bits.astype(np.int64).astype(float) * 2.0**-61).astype(dtype)


def moderate(dtype: str, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Return arrays of numbers between -4 and 4."""
    arrays = []
    for i, shape in enumerate(shapes):
        bits = _mixed(np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(i * 10**6))
        arrays.append(_moderate(bits, np.dtype(dtype)).reshape(shape))
    return arrays


def digest(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's little-endian bytes, with all NaNs made equal."""
    array = np.ascontiguousarray(array)
    if array.dtype.kind in "fc":
        parts = array.view(array.real.dtype)
        array = np.where(np.isnan(parts), np.array(np.nan, parts.dtype), parts)
    return hashlib.sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()


def digest_of_all(arrays: tuple[np.ndarray, ...]) -> str:
    """Return the SHA-256 of several float arrays, in order."""
    return digest(np.concatenate([array.ravel() for array in arrays], dtype=float))


def table(functions=ms, names=None) -> dict[str, str]:
    """Return the hashes of the cases with these names, or of all."""
    return _table([_of_affine, _of_sums, _of_mlp, _of_mlp_sums], functions, names)


def table_of_bfloat16(functions=ms, names=None) -> dict[str, str]:
    """Return the hashes of cases of bfloat16, which need ml_dtypes."""
    return _table([_of_bfloat16], functions, names)


def _table(groups, functions, names) -> dict[str, str]:
    hashes = {}

    def case(name: str, find, *args, **options) -> None:
        if names is None or name in names:
            found = find(*args, **options)
            hashes[name] = digest(found) if isinstance(found, np.ndarray) else digest_of_all(found)

    for group in groups:
        group(functions, case)
    return hashes


def _of_affine(functions, case) -> None:
    affine = functions.affine
    for dtype in DTYPES:
        samples, weight, bias = operands(dtype)
        case(f"affine {dtype}", affine, samples, weight, bias)
        case(f"affine {dtype} without bias", affine, samples, weight)
    for dtypes in ("float32 int8 float16", "uint8 int64 bool", "complex64 float64 int32"):
        arrays = [operands(d)[i] for i, d in enumerate(dtypes.split())]
        case(f"affine {dtypes}", affine, *arrays)
    for dtype in ("int16", "float16", "float32", "float64"):
        arrays = operands(dtype)
        for activation in ACTIVATIONS:
            case(f"affine {dtype} {activation!r}", affine, *arrays, activation=activation)
    for dtype in ("int16", "float16", "float32", "complex64"):
        samples, weight, bias = operands(dtype)
        index = np.arange(len(samples)) ** 2 % (len(weight) + 2)  # some are out of range
        arrays = samples, weight, bias, index
        case(f"affine_select {dtype}", functions.affine_select, *arrays, check=False)


def _of_mlp(functions, case) -> None:
    for dtype in ("float16", "float32", "float64"):
        n_sets, n_subnets, sizes = 5, 7, (2, 9, 16, 3)
        shapes = [(37, 6), (n_sets, 3)]
        for before, after in itertools.pairwise(sizes):
            shapes += [(n_sets, n_subnets, before, after), (n_sets, n_subnets, after)]
        samples, intercept, *rest = moderate(dtype, *shapes)
        layers = list(zip(rest[::2], rest[1::2], strict=True))
        layers[1] = layers[1][0]  # without a bias
        inputs = np.arange(2 * n_subnets).reshape(n_subnets, 2) ** 2 % 6
        index = np.arange(len(samples)) ** 2 % (n_sets + 2)  # some are out of range
        for activation in ("relu", ("tanh", "elu")):
            options = {"activation": activation, "output_activation": "sigmoid", "inputs": inputs}
            name = f"{dtype} {activation}"
            sums = options | {"additive": True, "intercept": intercept}
            case(f"mlp {name}", functions.mlp, samples, layers, **options)
            case(f"mlp {name} additive", functions.mlp, samples, layers, **sums)
            select = functools.partial(functions.mlp_select, check=False)
            case(f"mlp_select {name}", select, samples, layers, index, **options)
            case(f"mlp_stats {name}", functions.mlp_stats, samples, layers, **options)


def _of_mlp_sums(functions, case) -> None:
    def networks(dtype, n_sets, n_subnets, n_samples, sizes):
        shapes = [(n_samples, 6), (n_sets, sizes[-1]), (n_samples,), (n_samples, n_subnets)]
        shapes += [(n_samples, n_subnets, sizes[-1])]
        for before, after in itertools.pairwise(sizes):
            shapes += [(n_sets, n_subnets, before, after), (n_sets, n_subnets, after)]
        samples, *others, targets = (arrays := moderate(dtype, *shapes))[:5]
        rest = arrays[5:]
        return samples, list(zip(rest[::2], rest[1::2], strict=True)), targets, *others

    def flat(result):
        arrays = [x for layer in result[1] or () for x in layer if x is not None]
        return [x for x in (result[0], *arrays, result[2]) if x is not None]

    def judge(*args, **options):
        with mock.patch.object(loss_problem, "check_targets"):
            return flat(functions.mlp_mean_loss_and_grad(*args, **options))

    def vjp(*args, **options):
        return flat(functions.mlp_vjp(*args, **options))

    for dtype in ("float16", "float32", "float64"):
        sizes = 2, 5, 4, 3
        samples, layers, targets, intercept, factors, _ = networks(dtype, 5, 7, 100, sizes)
        layers[1] = layers[1][0]  # without a bias
        options = {"inputs": np.arange(14).reshape(7, 2) ** 2 % 6}
        numbers = (np.arange(700) ** 2 % 3).reshape(100, 7)
        for loss, wanted in [*((loss, targets) for loss in LOSSES), (CATEGORICAL, numbers)]:
            to_judge = options | {
                "activation": ("relu", "tanh"),
                "output_activation": ACTIVATION_OF.get(loss),
                "loss": loss,
                "sample_weight": abs(factors),
            }
            name = f"mlp_mean_loss_and_grad {dtype} {loss}"
            case(name, judge, samples, layers, wanted, **to_judge)
            added = to_judge | {"additive": True, "intercept": intercept}
            case(f"{name} additive", judge, samples, layers, wanted[:, 0], **added)
        cotangent, own = moderate(dtype, (5, 100, 7, 3), (5, 100, 6))
        options["activation"] = "silu"
        for name, array in {"shared": samples, "own": own}.items():
            case(f"mlp_vjp {dtype} {name} samples", vjp, array, layers, cotangent, **options)
    for n_sets, n_samples in [(3, 13_001), (40, 300)]:  # several blocks; many sets
        samples, layers, _, _, _, targets = networks("float32", n_sets, 6, n_samples, (1, 9, 1))
        name = f"mlp_mean_loss_and_grad of {n_sets} sets and {n_samples} samples"
        case(name, judge, samples, layers, targets)
        case(f"{name}, per network", judge, samples, layers, targets, per_subnetwork=True)


def _of_bfloat16(functions, case) -> None:
    samples, weight, bias = of_bfloat16(operands("float32"))
    integers, halves = operands("int8")[1], operands("float16")[2]

    def note(name: str, find, *args, **options) -> None:
        def of_float32():
            found = find(*args, **options)
            assert found.dtype == weight.dtype
            return found.astype(np.float32)

        case(f"{name} bfloat16", of_float32)

    note("affine", functions.affine, samples, weight, bias)
    note("affine without bias", functions.affine, samples, weight)
    note("affine of int8 weights", functions.affine, samples, integers, bias)
    for activation in ACTIVATIONS:
        name = f"affine {activation!r}"
        note(name, functions.affine, samples, weight, bias, activation=activation)
    index = np.arange(len(samples)) ** 2 % (len(weight) + 2)  # some are out of range
    note("affine_select", functions.affine_select, samples, weight, bias, index, check=False)
    for dtype in ("int32", "float64"):
        out = np.empty((11, 37, 53), weight.dtype)
        note(f"affine {dtype} into", functions.affine, *operands(dtype), out=out)
    case("affine bfloat16 bfloat16 float16", functions.affine, samples, weight, halves)

    few = of_bfloat16(moderate("float32", (11, 13), (11, 13), (100, 13), (100, 13), (100,)))
    for loss, activation in [("huber", "tanh"), ("squared_error", None)]:
        name = f"mean_loss_and_grad bfloat16 weighted {loss} {activation}"
        case(name, _judgement, functions, few, True, loss, activation)

    weight, bias, samples, targets = of_bfloat16(
        moderate("float32", (5, 3, 1, 4), (5, 3, 4), (100, 3), (100, 3, 4))
    )

    def of_networks():
        layers = [(weight, bias)]
        options = {"output_activation": "tanh"}
        found = functions.mlp_mean_loss_and_grad(samples, layers, targets, **options)
        return found[0], *found[1][0]

    case("mlp_mean_loss_and_grad bfloat16", of_networks)


def of_bfloat16(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Return the upper halves of float32 numbers."""
    bits = ((x.view(np.uint32) >> np.uint32(16)).astype(np.uint16) for x in arrays)
    return [x.view("bfloat16") for x in bits]


def _of_sums(functions, case) -> None:
    for dtype in ("float32", "float64"):
        few = moderate(dtype, (11, 13), (11, 13), (100, 13), (100, 13), (100,))
        many = moderate(
            dtype, (5, 3), (5, 3), (13_001, 3), (13_001, 3), (13_001,)
        )  # several blocks
        weight, bias, samples, *_ = few
        for weighted in (False, True):
            name = f"{dtype} weighted" if weighted else dtype
            for loss in LOSSES:
                activation = ACTIVATION_OF.get(loss, "tanh")
                full = f"mean_loss_and_grad {name} {loss} {activation}"
                case(full, _judgement, functions, few, weighted, loss, activation)
            for loss, activation in [("huber", "tanh"), ("squared_error", None)]:
                full = f"mean_loss_and_grad {name} {loss} {activation} of many samples"
                case(full, _judgement, functions, many, weighted, loss, activation)
            options = {"activation": "tanh", "statistics": ("mean", "var", "std")}
            options["set_weight"] = abs(weight[:, 0]) if weighted else None
            arrays = samples, weight, bias
            case(f"affine_stats {name}", functions.affine_stats, *arrays, **options)
        own, cotangent = moderate(dtype, (11, 100, 13), (11, 100, 13))
        for name, array in {"shared": samples, "own": own}.items():
            arrays = array, weight, bias, cotangent
            name = f"affine_vjp {dtype} {name} samples"
            case(name, functions.affine_vjp, *arrays, activation="gelu")


def _judgement(functions, data, weighted, loss, activation) -> tuple[np.ndarray, ...]:
    weight, bias, samples, targets, factors = data
    options = {"loss": loss, "activation": activation}
    options["sample_weight"] = abs(factors) if weighted else None
    # These bits predate the check of targets.
    with mock.patch.object(loss_problem, "check_targets"):
        return functions.mean_loss_and_grad(samples, weight, bias, targets, **options)


if __name__ == "__main__":
    import ml_dtypes  # noqa: F401 (NumPy knows bfloat16 by it)

    FILE.write_text(json.dumps(table() | table_of_bfloat16(), indent=2) + "\n")
