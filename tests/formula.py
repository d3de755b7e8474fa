"""The definition in plain NumPy, which every backend must match bit for bit."""

from __future__ import annotations

import numpy as np

from multisubnet._arithmetic import coefficients, loss_recipes
from multisubnet._arithmetic.activation import Activation
from multisubnet._arithmetic.activation_recipes import RECIPES
from multisubnet._arithmetic.elementary import Format


def affine(samples, weight, bias=None, *, activation=None, set_axis=0, out=None):
    operands = [np.asarray(x) for x in (samples, weight, bias) if x is not None]
    dtype = result_type(*operands)
    if isinstance(activation, str):
        activation = Activation(activation)
    if activation and activation.key not in ("linear", "relu", "relu6") and dtype.kind in "biu":
        dtype = np.result_type(dtype, np.float16)
    with np.errstate(all="ignore"):
        samples, weight, *rest = (x.astype(dtype) for x in operands)
        samples = samples if samples.ndim == 3 else samples[None]
        result = _product(samples, weight[:, None])
        for bias in rest:
            result = _sum(result, bias[:, None])
        if activation:
            result = activated(result, activation)
        if set_axis == 1:
            result = result.transpose(1, 0, 2)
        return result if out is None else cast(result, out.dtype)


def affine_select(samples, weight, bias, set_index, *, activation=None):
    every = affine(samples, weight, bias, activation=activation)
    missing = {"c": complex(np.nan, np.nan)}.get(every.dtype.kind, np.nan)
    missing = 0 if every.dtype.kind in "biu" else missing
    result = np.full(samples.shape, missing, every.dtype)
    for b, n in enumerate(set_index):
        if 0 <= n < len(every):
            result[b] = every[n, b]
    return result


def mlp(
    samples,
    layers,
    *,
    activation="relu",
    output_activation=None,
    inputs=None,
    additive=False,
    intercept=None,
    set_axis=0,
):
    layers = [layer if isinstance(layer, tuple) else (layer, None) for layer in layers]
    operands = [samples, *(x for layer in layers for x in layer if x is not None)]
    if intercept is not None:
        operands.append(intercept)
    dtype = result_type(*operands)
    if not isinstance(activation, list | tuple):
        activation = [activation] * (len(layers) - 1)
    activations = [named(a) for a in (*activation, output_activation)]
    keeps = not additive and all(a.key in ("linear", "relu", "relu6") for a in activations)
    if dtype.kind in "biu" and not keeps:
        dtype = np.result_type(dtype, np.float16)
    working = np.dtype(np.float32) if dtype.itemsize == 2 and dtype.kind not in "iu" else dtype
    sets = {len(x) for layer in layers for x in layer if x is not None} - {1}
    sets |= {len(intercept)} - {1} if intercept is not None else set()
    sets |= {len(samples)} if samples.ndim == 3 else set()
    n_sets = sets.pop() if sets else 1
    n_subnets, d, _ = layers[0][0].shape[1:]
    x = np.broadcast_to(samples, (n_sets, *samples.shape[-2:])).astype(working)
    of_network = np.arange(n_subnets * d).reshape(n_subnets, d) if inputs is None else inputs
    with np.errstate(all="ignore"):
        results = []
        for s in range(n_subnets):
            values = [x[:, :, f] for f in of_network[s]]
            for (weight, bias), function in zip(layers, activations, strict=True):
                weight = weight.astype(working)
                before, values = values, []
                for k in range(weight.shape[3]):
                    terms = [] if bias is None else [bias[:, s, k].astype(working)[:, None]]
                    terms += [h * weight[:, s, i, k][:, None] for i, h in enumerate(before)]
                    z = terms[0]
                    for term in terms[1:]:
                        z = z + term
                    z = np.broadcast_to(z, x.shape[:2])
                    values.append(activated(z, function))
            results.append(np.stack(values, -1))
        if additive:
            n_outputs = layers[-1][0].shape[3]
            total = np.zeros((*x.shape[:2], n_outputs))
            if intercept is not None:  # the initial value of the sum, which may be -0.0
                total[...] = intercept.astype(working).astype(float)[:, None]
            for values in results:
                total = total + values
            result = cast(total, dtype)
        else:
            result = cast(np.stack(results, 2), dtype) if results else None
    return result.swapaxes(0, 1) if set_axis else result


def mlp_select(samples, layers, set_index, **options):
    every = mlp(samples, layers, **options)
    result = np.full(every.shape[1:], 0 if every.dtype.kind in "biu" else np.nan, every.dtype)
    for b, n in enumerate(set_index):
        if 0 <= n < len(every):
            result[b] = every[n, b]
    return result


def _sum(a, b):
    if is_bfloat16(a.dtype):
        return cast(a.astype(np.float32) + b.astype(np.float32), a.dtype)
    return a + b


def _product(a, b):
    if is_bfloat16(a.dtype):
        return cast(a.astype(np.float32) * b.astype(np.float32), a.dtype)
    if a.dtype.kind != "c":
        return a * b
    result = np.empty(np.broadcast_shapes(a.shape, b.shape), a.dtype)
    result.real = a.real * b.real - a.imag * b.imag
    result.imag = a.real * b.imag + a.imag * b.real
    return result


def activated(z, activation):
    """Apply a recipe literally, in float32 for float16 and bfloat16."""
    if z.dtype == bool or activation.key == "linear":
        return z
    x = z.astype(np.float32) if z.dtype.itemsize == 2 and z.dtype.kind not in "iu" else z
    recipes = RECIPES[activation.name]
    recipe = recipes.derivative if activation.is_derivative else recipes.value
    parameter = Number(x.dtype.type(activation.number))
    with np.errstate(all="ignore"):
        result = recipe(Number(x), parameter, form_of(x.dtype))
        return cast(np.broadcast_to(result.array, z.shape), z.dtype)


def judged(prediction, target, loss):
    """Return the loss and its derivative, applying their recipes literally."""
    recipes = loss_recipes.LOSSES[loss]
    given = Number(prediction), Number(target), form_of(prediction.dtype)
    with np.errstate(all="ignore"):
        results = recipes.value(*given), recipes.derivative(*given)
        return [np.broadcast_to(result.array, prediction.shape) for result in results]


def form_of(dtype):
    constants = {"f": coefficients.FLOAT32, "d": coefficients.FLOAT64}.get(dtype.char)
    return constants and Format(constants)


def is_bfloat16(dtype):
    return dtype.name == "bfloat16"


def result_type(*arrays):
    """Return the common dtype of arrays: the smallest one that holds all of their values."""
    names = {array.dtype.name for array in arrays}
    if "bfloat16" not in names:
        return np.result_type(*arrays).newbyteorder("=")
    if names <= {"bfloat16", "bool", "int8", "uint8"}:
        return np.dtype("bfloat16")
    return np.result_type(np.float32, *names - {"bfloat16"})


def cast(values, dtype):
    """Round values to a dtype."""
    if not is_bfloat16(dtype) or is_bfloat16(values.dtype):
        return values.astype(dtype)
    x = values.astype(float)
    _, exponent = np.frexp(x)  # the fraction is from 1/2 to 1
    step = np.ldexp(1.0, np.maximum(exponent, -125) - 8)
    with np.errstate(over="ignore"):
        rounded = (np.rint(x / step) * step).astype(np.float32)
    return (rounded.view(np.uint32) >> np.uint32(16)).astype(np.uint16).view(dtype)


# Sums: operands are cast to float32 if they are float16, bfloat16 or float32, else to float64.


def mean_loss(*operands, **kwargs):
    return mean_loss_and_grad(*operands, **kwargs)[0]


def mean_loss_and_grad(
    samples,
    weight,
    bias,
    targets,
    *,
    loss="squared_error",
    activation=None,
    sample_weight=None,
    per_feature=False,
    dtype="float64",
):
    with np.errstate(all="ignore"):
        x, w, b = broadcast(samples, weight, bias)
        t = targets.astype(x.dtype)
        t = t if t.ndim == 2 else t[:, None]
        activation = named(activation)
        factor, count = factors(sample_weight, x.dtype, x.shape[1])
        factor = factor.reshape(-1, 1)
        if loss == "squared_error" and activation.name == "linear" and samples.ndim == 2:
            value, *gradients = closed_form(
                *(samples.astype(x.dtype), w[:, 0], b[:, 0], t, factor, sample_weight is not None)
            )
            count = 1.0
        else:
            z = x * w + b
            value, slope = judged(activated(z, activation), t, loss)
            slope = slope_of(z, activation, slope) * factor
            value, *gradients = (
                summed(terms.swapaxes(0, 1)) for terms in (value * factor, slope * x, slope)
            )
        if not per_feature:
            value, count = tree(value.T), count * x.shape[2]
        grad_weight, grad_bias = (
            cast(gradient / count, floating(weight, x.dtype)) for gradient in gradients
        )
        return (
            cast(value / count, np.dtype(dtype)),
            grad_weight,
            None if bias is None else grad_bias,
        )


def closed_form(x, w, b, t, factor, weighted):
    """Return the mean of (w x + b - t)^2 over samples, and its derivatives, from moments."""
    unit, unit_t = units(x), np.maximum(units(t), 1.0)
    x, w, b, t, factor = (array.astype(float) for array in (x, w, b, t, factor))
    factor = factor + np.zeros((len(x), 1))
    size, count = summed(abs(factor)), summed(factor)
    count[count == 0] = np.nan

    def mean(terms, factor=factor, count=count):
        return summed(terms * factor) / count

    x, t = x / unit, t / unit_t
    mean_x, mean_t = mean(x, abs(factor), size), mean(t, abs(factor), size)
    x, t = x - mean_x, t - mean_t
    spread = mean(x * x, abs(factor), size)
    slope = np.where(spread == 0, 0.0, mean(x * t, abs(factor), size) / spread)
    left_over = t - slope * x
    spread, rest = mean(x * x), mean(left_over * left_over) * unit_t * unit_t
    slope, mean_t = slope * unit_t, mean_t * unit_t

    w = w * unit
    distance = w - slope
    offset = w * mean_x + b - mean_t
    value = spread * distance * distance + offset * offset + rest
    by_weight, by_bias = spread * distance + offset * mean_x, offset
    if weighted:
        some = size != count  # without negative weights these are 0 up to rounding
        drift, tilt, shift = (mean(y) * some for y in (x, x * left_over, left_over))
        tilt, shift = tilt * unit_t, shift * unit_t
        value = value + 2.0 * (distance * (offset * drift - tilt) - offset * shift)
        by_weight = by_weight + (drift * (offset + distance * mean_x) - tilt - mean_x * shift)
        by_bias = by_bias + (distance * drift - shift)
    value = np.where(np.isnan(value), distance * distance + (b * b + rest), value)
    return value, 2.0 * by_weight * unit, 2.0 * by_bias


def units(columns):
    """Return the power of two of the largest value in each column, if squares may overflow."""
    largest = abs(columns.astype(float)).max(0, initial=0.0)
    if columns.dtype == np.float32:
        return np.ones_like(largest)
    units = np.where(largest < 2.0**-1022, 2.0**-1022, np.ldexp(1.0, np.frexp(largest)[1] - 1))
    return np.where(np.isfinite(largest), units, 1.0)


def affine_vjp(
    samples, weight, bias, cotangent, *, activation=None, wrt=("samples", "weight", "bias")
):
    with np.errstate(all="ignore"):
        x, w, b = broadcast(samples, weight, bias)
        slope = slope_of(x * w + b, named(activation), cotangent.astype(x.dtype))
        over_samples = slope.swapaxes(0, 1)
        totals = {
            "samples": summed(slope * w) if samples.ndim == 2 else summed((slope * w)[None]),
            "weight": summed(over_samples * x.swapaxes(0, 1)),
            "bias": summed(over_samples),
        }
        operands = {"samples": samples, "weight": weight, "bias": bias}
        for name in ("weight", "bias"):
            if operands[name] is not None and len(operands[name]) != len(x):
                totals[name] = tree(totals[name])[None]
        return tuple(
            None
            if operand is None or name not in wrt
            else cast(totals[name], floating(operand, x.dtype))
            for name, operand in operands.items()
        )


def affine_stats(
    samples, weight, bias=None, *, activation=None, set_weight=None, statistics=("mean", "std")
):
    with np.errstate(all="ignore"):
        x, w, b = broadcast(samples, weight, bias)
        p = activated(x * w + b, named(activation))
        return statistics_of(p, set_weight, statistics)


def statistics_of(p, set_weight, statistics):
    factor, count = factors(set_weight, p.dtype, len(p))
    factor = factor.reshape(-1, *[1] * (p.ndim - 1))
    mean = summed(p * factor) / count
    distance = p - mean.astype(p.dtype)
    square = summed(distance * distance * factor) / count
    distance = summed(distance * factor) / count
    variance = square - distance * distance
    variance[(variance < 0) & (square >= 0)] = 0
    found = {"mean": mean, "var": variance, "std": np.sqrt(variance)}
    return tuple(found[name] for name in statistics)


def mlp_stats(
    samples, layers, *, intercept=None, set_weight=None, statistics=("mean", "std"), **options
):
    layers = [layer if isinstance(layer, tuple) else (layer, None) for layer in layers]
    given = [samples, *(x for layer in layers for x in layer), intercept]
    narrow = [x for x in given if x is not None]
    narrow = is_bfloat16(result_type(*narrow)) or result_type(*narrow).char in "ef"
    dtype = np.float32 if narrow else np.float64
    samples, *rest, intercept = [None if x is None else x.astype(dtype) for x in given]
    layers = list(zip(rest[::2], rest[1::2], strict=True))
    p = mlp(samples, layers, intercept=intercept, **options)
    with np.errstate(all="ignore"):
        return statistics_of(p, set_weight, statistics)


def broadcast(samples, weight, bias):
    """Return samples (N, B, F), weight and bias (N, 1, F), in the working dtype of sums."""
    given = [array for array in (samples, weight, bias) if array is not None]
    narrow = is_bfloat16(result_type(*given)) or result_type(*given).char in "ef"
    dtype = np.float32 if narrow else np.float64
    x, w = samples.astype(dtype), weight.astype(dtype)[:, None]
    x = x if x.ndim == 3 else x[None]
    b = np.full_like(w, -0.0) if bias is None else bias.astype(dtype)[:, None]
    n_sets, n_samples, n_features = np.broadcast_shapes(x.shape, w.shape, b.shape)
    shapes = (n_sets, n_samples, n_features), *[(n_sets, 1, n_features)] * 2
    return [np.broadcast_to(*pair) for pair in zip((x, w, b), shapes, strict=True)]


def factors(weights, dtype, length):
    """Return the weights of a mean, and its divisor."""
    if weights is None:
        return np.ones(1, dtype), float(length)
    largest = abs(weights.astype(float)).max(initial=0.0)
    exponent = np.frexp(largest)[1] - 1 if np.isfinite(largest) else 0
    weights = np.ldexp(weights.astype(float), -exponent).astype(dtype)
    total = summed(weights)
    return weights, np.where(total == 0, np.nan, total)


def floating(operand, dtype):
    """Return the dtype of a gradient."""
    is_floating = operand.dtype.kind == "f" or is_bfloat16(operand.dtype)
    return operand.dtype.newbyteorder("=") if is_floating else dtype


def named(activation):
    return activation if isinstance(activation, Activation) else Activation(activation or "linear")


def slope_of(z, activation, slope):
    """Return the derivative with respect to z, given that with respect to the activated z."""
    return slope if activation.name == "linear" else slope * activated(z, activation.derivative)


def summed(terms):
    """Sum terms along the first axis: runs of 32, blocks of 4096 in float64, then a tree."""
    length, *shape = terms.shape
    blocks = np.zeros((-(-length // 4096), *shape))
    for i in range(0, length, 32):
        run = np.zeros(shape, terms.dtype)
        for term in terms[i : i + 32]:
            run = run + term
        blocks[i // 4096] = blocks[i // 4096] + run
    return tree(blocks)


def tree(values):
    """Add neighbours level by level; an odd last one is carried up."""
    if not len(values):
        return np.zeros(values.shape[1:])
    values = list(values)
    while len(values) > 1:
        pairs = [a + b for a, b in zip(values[::2], values[1::2], strict=False)]
        values = pairs + values[2 * len(pairs) :]
    return values[0]


class Number:
    """An array with the operations of Real, Bits and Boolean, evaluated immediately."""

    def __init__(self, array):
        self.array = np.asarray(array)

    def _like(self, other):
        """The other operand; Python numbers are rounded to this array's dtype."""
        return other.array if isinstance(other, Number) else self.array.dtype.type(other)

    def constant(self, value):
        return Number(self.array.dtype.type(value))

    def select(self, yes, no):
        given = yes if isinstance(yes, Number) else no
        return Number(np.where(self.array, given._like(yes), given._like(no)))

    def times_exactly(self, other):
        return self * other

    @property
    def bits(self):
        return Number(self.array.view(f"u{self.array.itemsize}"))

    @property
    def real(self):
        return Number(self.array.view(f"f{self.array.itemsize}"))


def _operator(name, function):
    def do(self, other):
        return Number(function(self.array, self._like(other)))

    def reflected(self, other):
        return Number(function(self._like(other), self.array))

    setattr(Number, f"__{name}__", do)
    setattr(Number, f"__r{name}__", reflected)


for _name, _function in {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.divide,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}.items():
    _operator(_name, _function)
