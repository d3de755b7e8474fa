"""Networks inside a model: a trace from the model's inputs to its outputs, tensor by tensor.

Readers of Keras graphs and PyTorch modules report which operations a model has. Each value of a
tensor has a number. An operation that only moves values (a slice, a reshape, a user's function) is
called on these numbers, and its result shows where they went.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.activation import Activation
from multisubnet._arrays.explanations import count
from multisubnet._sets.parameters import Parameters, resolve

_LINEAR = Activation("linear")
_SIGMOID = Activation("sigmoid")
_SIZES = (0.03, 0.3, 1.0, 3.0)  # scales of the samples that a model is called on
_LETTERS = "ABCDEFGH"  # axes that replace "..." in an equation


class NotAChain(Exception):
    """The model is not a chain of dense layers; the message is a clause that says why."""


class NoDenseLayer(NotAChain):
    """The model has nothing that could be a dense layer."""


class Source(NamedTuple):
    """The arrays of a model's layer, as the model stores them."""

    kernel: np.ndarray
    bias: np.ndarray | None
    assign: Callable[[np.ndarray, np.ndarray | None], object]
    """Replaces kernel and bias in the model."""
    layer: Any = None
    """The layer of Keras that has these arrays, if they are of one."""


class Dense(NamedTuple):
    """A dense layer of one network: the elements of a source that belong to it."""

    source: Source
    weight: np.ndarray  # (inputs, outputs), positions in the flat kernel
    bias: np.ndarray | None  # (outputs,), positions in the flat bias

    @property
    def kind(self) -> tuple[Any, ...]:
        """The properties that layers side by side must share."""
        return self.weight.shape, self.bias is None


class Intercept(NamedTuple):
    """An array of a model that is added to sums over networks, and its position per output."""

    source: Source
    places: np.ndarray


class Level(NamedTuple):
    """Dense layers of several networks side by side, and their activation."""

    layers: tuple[Dense, ...]
    activation: Activation = _LINEAR

    @property
    def weight(self) -> np.ndarray:
        """The weights, of shape (S, inputs, outputs)."""
        return np.stack([np.ravel(of.source.kernel)[of.weight] for of in self.layers])

    @property
    def bias(self) -> np.ndarray | None:
        """The biases, of shape (S, outputs)."""
        sources = [(of.source.bias, of.bias) for of in self.layers]
        every = [np.ravel(bias)[places] for bias, places in sources if bias is not None]
        return np.stack(every) if every else None

    def write(self, weight: np.ndarray, bias: np.ndarray | None) -> None:
        """Write weights and biases to the model."""
        sources = {id(of.source.kernel): of.source for of in self.layers}
        for key, source in sources.items():
            kernel = source.kernel.copy()
            of_bias = None if source.bias is None else source.bias.copy()
            own = [s for s, of in enumerate(self.layers) if id(of.source.kernel) == key]
            for s in own:
                kernel.reshape(-1)[self.layers[s].weight] = weight[s]
                if of_bias is not None and bias is not None:
                    of_bias.reshape(-1)[self.layers[s].bias] = bias[s]
            for s in own:
                kept = np.array_equal(np.ravel(kernel)[self.layers[s].weight], weight[s])
                if of_bias is not None and bias is not None:
                    kept &= np.array_equal(np.ravel(of_bias)[self.layers[s].bias], bias[s])
                if not kept:
                    raise ValueError(
                        "model shares weights or biases among networks, but those of the set "
                        "differ; expected a model with separate arrays for each network"
                    )
            source.assign(kernel, of_bias)


class Values(NamedTuple):
    """The values of a tensor: features, or outputs of the networks traced so far."""

    place: np.ndarray
    """In the tensor's shape without the batch: the feature, or s * outputs + k for network s."""
    levels: tuple[Level, ...] = ()
    inputs: np.ndarray | None = None
    """The features of each network, of shape (S, d)."""
    left_out: str = ""
    """``"softmax"``, or ``"sigmoid"`` of sums: the last function, which networks leave out."""
    additive: bool = False
    """Whether the values are sums over all networks; `place` then holds k."""
    intercept: Intercept | None = None
    """The array added to these sums."""

    @classmethod
    def of_features(cls, *shape: int, first: int = 0) -> Values:
        """Return the values of a model's input."""
        return cls(first + np.arange(int(np.prod(shape))).reshape(shape))

    @property
    def n_outputs(self) -> int:
        """The number of outputs of each network."""
        return self.levels[-1].layers[0].weight.shape[1]

    @property
    def n_networks(self) -> int:
        """S."""
        return len(self.levels[-1].layers)

    def linear(self, name: str, equation: str, source: Source) -> Values:
        """Return the values of a layer computed as `numpy.einsum` does, with its bias.

        The equation has two operands: samples, with the batch first, and the kernel.
        """
        if self.left_out or self.additive:
            raise NotAChain(f"with {name} after a softmax or a sum")
        used, weight, place = _contracted(name, equation, self.place, source.kernel.shape)
        bias = None
        if source.bias is not None:
            try:
                every = np.broadcast_to(
                    np.arange(source.bias.size).reshape(source.bias.shape), place.shape
                )
            except ValueError:
                raise NotAChain(
                    f"with a weight of shape {source.kernel.shape} and a bias of shape "
                    f"{source.bias.shape}"
                ) from None
            bias = np.empty(len(weight) * weight.shape[2], np.int64)
            bias[place.reshape(-1)] = every.reshape(-1)
            bias = bias.reshape(len(weight), -1)
        if not self.levels:
            before, inputs = self, used
        else:
            networks, units = np.divmod(used, self.n_outputs)
            if (networks != networks[:, :1]).any():
                raise NotAChain(f"with {name} over the values of several networks")
            order = np.argsort(units, axis=1)
            ordered = np.take_along_axis(units, order, 1)
            if not np.array_equal(ordered, np.tile(np.arange(self.n_outputs), (len(used), 1))):
                raise NotAChain(f"with {name} over only some of the values of a layer")
            weight = np.take_along_axis(weight, order[:, :, None], 1)
            before = self._select(networks[:, 0])
            inputs = _given(before.inputs)
        layers = tuple(
            Dense(source, of_network, None if bias is None else bias[g])
            for g, of_network in enumerate(weight)
        )
        return Values(place, (*before.levels, Level(layers)), inputs)

    def activated(self, name: str, activation: Activation) -> Values:
        """Return the values after an activation of all values; a sigmoid of sums is left out."""
        if activation == _LINEAR:
            return self
        if self.additive and activation == _SIGMOID and not self.left_out:
            return self._replace(left_out="sigmoid")
        if self.additive:
            raise NotAChain(
                f"with {name} after a sum over networks (pass a model that ends in the sum, and "
                f"apply {activation.name} to predictions)"
            )
        if not self.levels or self.levels[-1].activation != _LINEAR:
            raise NotAChain(f"with {name}, which does not follow a dense layer")
        *others, last = self.levels
        return self._replace(levels=(*others, last._replace(activation=activation)))

    def softmax(self) -> Values:
        """Return the values after a softmax, which networks leave out."""
        is_linear = self.additive or (self.levels and self.levels[-1].activation == _LINEAR)
        if not is_linear or self.left_out:
            raise NotAChain("with a softmax that does not follow a dense layer")
        if (self.n_networks > 1 and not self.additive) or self.place.ndim != 1:
            raise NotAChain("with a softmax in a branch")
        return self._replace(left_out="softmax")

    def moved(self, name: str, function: Callable[[np.ndarray], Any]) -> Values:
        """Return the values after a function that only moves them."""
        numbers = self.place + 0.5
        result = np.asarray(function(np.stack([numbers, -numbers])), np.float64)
        if result.shape[:1] != (2,):
            raise NotAChain(f"with {name}, which does not treat each sample separately")
        place = result[0] - 0.5
        if not (np.isin(place, self.place).all() and np.array_equal(result[1], -result[0])):
            raise NotAChain(f"with {name}, which is neither a dense layer nor an activation")
        return self._replace(place=place.astype(np.int64))

    def summed(self, axis: int, keepdims: bool = False) -> Values:
        """Return the sums over all networks, which lie along `axis`."""
        if self.additive or not self.levels:
            raise NotAChain("with a sum that is not one over networks")
        networks, units = np.divmod(np.moveaxis(self.place, axis, -1), self.n_outputs)
        every = np.arange(self.n_networks)
        if (units != units[..., :1]).any() or not (np.sort(networks) == every).all():
            raise NotAChain("with a sum that is not one over networks")
        place = units[..., 0]
        place = np.expand_dims(place, axis) if keepdims else place
        return self._replace(place=place, additive=True)

    def plus(self, name: str, source: Source) -> Values:
        """Return the values plus an array (the source's kernel): biases, or the intercept."""
        array, every = source.kernel, np.arange(0)
        with contextlib.suppress(ValueError):  # if the shapes do not broadcast
            every = np.broadcast_to(np.arange(array.size).reshape(array.shape), self.place.shape)
        last = self.levels[-1] if self.levels else Level(())
        sources = {id(of.source.kernel): of.source for of in last.layers}
        is_sum = self.additive and not self.left_out
        if is_sum and self.intercept is None and every.size == self.n_outputs:
            places = np.empty(every.size, np.int64)
            places[self.place.reshape(-1)] = every.reshape(-1)
            return self._replace(intercept=Intercept(source, places))
        is_whole = not self.additive and len(sources) == 1 and last.activation == _LINEAR
        if not is_whole or last.bias is not None or every.size != self.place.size or not every.size:
            raise NotAChain(f"with {name} of an array that is not the bias of a dense layer")
        bias = np.empty(self.n_networks * self.n_outputs, np.int64)
        if bias.size != every.size:
            raise NotAChain(f"with {name} of an array and only some of the values of a layer")
        bias[self.place.reshape(-1)] = every.reshape(-1)
        (of_sums,) = sources.values()

        def assign(kernel: np.ndarray, bias: np.ndarray | None) -> None:
            of_sums.assign(kernel, None)
            source.assign(np.asarray(bias), None)

        both = Source(of_sums.kernel, array, assign, of_sums.layer)
        rows = bias.reshape(self.n_networks, self.n_outputs)
        layers = [Dense(both, of.weight, row) for of, row in zip(last.layers, rows, strict=True)]
        return self._replace(levels=(*self.levels[:-1], Level(tuple(layers))))

    def _select(self, networks: np.ndarray) -> Values:
        """Return some of the networks, in this order; `place` does not change."""
        if np.array_equal(networks, np.arange(self.n_networks)):
            return self
        levels = tuple(
            level._replace(layers=tuple(level.layers[s] for s in networks)) for level in self.levels
        )
        return self._replace(levels=levels, inputs=_given(self.inputs)[networks])

    def chain(self, n_features: int, predict: Callable[[np.ndarray], np.ndarray] | None) -> Chain:
        """Return the networks whose values are the model's outputs."""
        if not self.levels:
            raise NoDenseLayer("without weights")
        values, place = self, self.place.reshape(-1)
        if not self.additive and place.size:
            networks, units = np.divmod(place, self.n_outputs)
            order = networks[np.sort(np.unique(networks, return_index=True)[1])]
            values = self._select(order)  # sorts the networks by output
            number_of = {s: number for number, s in enumerate(order)}
            place = np.array([number_of[s] for s in networks], np.int64) * self.n_outputs + units
        n_values = self.n_outputs * (1 if self.additive else values.n_networks)
        if not np.array_equal(np.sort(place), np.arange(n_values)):
            raise NotAChain("with outputs that are not those of its last layers")
        return Chain(
            values.levels,
            _given(values.inputs),
            n_features,
            place,
            predict,
            self.left_out,
            self.additive,
            self.intercept,
        )


def joined(
    name: str, values: Sequence[Values], function: Callable[[list[np.ndarray]], Any]
) -> Values:
    """Return the values after a function that joins several tensors, such as a concatenation."""
    whole, places = _side_by_side(name, values)
    sizes = np.cumsum([0, *(place.size for place in places)])
    shapes = [place.shape for place in places]

    def of_all(rows: np.ndarray) -> Any:
        parts = [rows[:, a:b] for a, b in itertools.pairwise(sizes)]
        return function([x.reshape(2, *shape) for x, shape in zip(parts, shapes, strict=True)])

    flat = np.concatenate([place.reshape(-1) for place in places])
    return whole._replace(place=flat).moved(name, of_all)


def added(name: str, values: Sequence[Values]) -> Values:
    """Return the sum of several tensors, each the output of one network or a sum of outputs."""
    units = []
    for of in values:
        if not of.levels or of.left_out or not (of.additive or of.n_networks == 1):
            raise NotAChain(
                f"with {name} of values that are not outputs of separate networks, such as a skip "
                f"connection"
            )
        units.append(of.place)
    if any(not np.array_equal(place, units[0]) for place in units):
        raise NotAChain(f"with {name} of different outputs of networks")
    whole, _ = _side_by_side(name, [of._replace(additive=False) for of in values])
    return whole._replace(place=units[0], additive=True)


def _side_by_side(name: str, values: Sequence[Values]) -> tuple[Values, list[np.ndarray]]:
    """Combine the networks of several tensors; also return each tensor's places among them."""
    first = values[0]
    places = [of.place for of in values]
    if all(of.levels is first.levels for of in values):  # all parts of one tensor
        return first, places
    if any(of.left_out or of.additive or not of.levels for of in values):
        raise NotAChain(f"with {name} of {len(values)} values that are not those of networks")
    if any(
        [(level.layers[0].kind, level.activation) for level in of.levels]
        != [(level.layers[0].kind, level.activation) for level in first.levels]
        for of in values
    ):
        raise NotAChain("with branches that differ in their layers")
    inputs = [_given(of.inputs) for of in values]
    if len({of_network.shape[1] for of_network in inputs}) > 1:
        raise NotAChain("with branches that differ in their layers")
    levels = tuple(
        Level(tuple(itertools.chain(*(level.layers for level in each))), each[0].activation)
        for each in zip(*(of.levels for of in values), strict=True)
    )
    starts = np.cumsum([0, *(of.n_networks * of.n_outputs for of in values[:-1])])
    places = [place + start for place, start in zip(places, starts, strict=True)]
    return first._replace(levels=levels, inputs=np.concatenate(inputs)), places


def _given(inputs: np.ndarray | None) -> np.ndarray:
    assert inputs is not None
    return inputs


def _contracted(
    name: str, equation: str, place: np.ndarray, kernel_shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split a layer, described by an equation, into groups of its values.

    Returns the values that each group uses, (G, inputs), its weights, (G, inputs, outputs), and
    the places of its results, in the shape of the equation's output without the batch.
    """
    samples, kernel, output = equation.replace(" ", "").replace("->", ",").split(",")
    rest = _LETTERS[: place.ndim + 1 - len(samples.replace("...", ""))]
    samples, output = (letters.replace("...", rest) for letters in (samples, output))
    shape = dict(zip(kernel, kernel_shape, strict=True))
    batch, samples_left = samples[0], list(samples[1:])
    if len(samples_left) != place.ndim:
        raise NotAChain(f"with {name} of values of shape {place.shape}")
    for letter, length in zip(samples_left, place.shape, strict=True):
        if shape.setdefault(letter, length) != length:
            raise NotAChain(
                f"with {name}, whose weights are of shape {kernel_shape}, of values of shape "
                f"{place.shape}"
            )
    if output[:1] != batch or max(map(len, (samples, kernel, output))) > len(shape) + 1:
        raise NotAChain(f"with {name} of the equation {equation}")
    groups = [x for x in kernel if x in samples_left and x in output]
    summed = [x for x in kernel if x in samples_left and x not in output]
    units = [x for x in kernel if x not in samples_left and x in output]
    others = [x for x in samples_left if x not in kernel]
    if len(groups) + len(summed) + len(units) < len(kernel) or any(shape[x] > 1 for x in others):
        raise NotAChain(f"with {name}, which uses the same weights in several places")

    def size(letters: list[str]) -> int:
        return int(np.prod([shape[x] for x in letters], dtype=np.int64))

    def arranged(letters: list[str] | str, array: np.ndarray, order: list[str]) -> np.ndarray:
        return array.transpose([list(letters).index(x) for x in order])

    used = arranged(samples_left, place, [*groups, *summed, *others])
    weight = np.arange(size(list(kernel))).reshape(kernel_shape)
    weight = arranged(kernel, weight, [*groups, *summed, *units])
    result = np.arange(size([*groups, *units]))
    result = result.reshape([shape[x] for x in [*groups, *units, *others]])
    kept = [x for x in others if x in output]
    result = result.reshape([shape[x] for x in [*groups, *units, *kept]])
    return (
        used.reshape(size(groups), size(summed)),
        weight.reshape(size(groups), size(summed), size(units)),
        arranged([*groups, *units, *kept], result, list(output[1:])),
    )


class Chain(NamedTuple):
    """The dense layers of a model, one after the other, for one or several networks."""

    levels: tuple[Level, ...]
    inputs: np.ndarray
    """The features that each network sees, of shape (S, d)."""
    n_features: int
    place: np.ndarray
    """For each output of the model, s * outputs + k."""
    predict: Callable[[np.ndarray], Any] | None = None
    """The model's own predictions, as arrays of its library; None if it cannot predict."""
    left_out: str = ""
    """As for `Values`."""
    additive: bool = False
    intercept: Intercept | None = None

    @property
    def parameters(self) -> Parameters:
        """The chain as one set; affine functions if it has one weight and one bias per feature."""
        n_networks, n_inputs = self.inputs.shape
        in_order = np.array_equal(self.inputs.reshape(-1), np.arange(self.n_features))
        in_order &= 1 in (n_networks, n_inputs)
        activations = tuple(resolve(level.activation) for level in self.levels)
        arrays = [(level.weight, level.bias) for level in self.levels]
        if in_order and len(arrays) == 1 < n_networks and not self.additive:
            (weight, bias), *_ = arrays
            if weight.shape[1:] == (1, 1):
                of_bias = None if bias is None else bias[None, :, 0]
                return Parameters(((weight[None, :, 0, 0], of_bias),), activations)
        layers = [(weight[None], None if bias is None else bias[None]) for weight, bias in arrays]
        inputs = None if in_order else self.inputs
        added = None
        if self.intercept is not None:
            added = np.ravel(self.intercept.source.kernel)[self.intercept.places][None]
        return Parameters(tuple(layers), activations, inputs, self.additive, added)

    def write(self, parameters: Parameters, on_host: Callable[[Any], np.ndarray]) -> None:
        """Write the one set of parameters to the model."""
        owners = [id(of.source.kernel) for level in self.levels for of in level.layers]
        per_level = [{id(of.source.kernel) for of in level.layers} for level in self.levels]
        if len(set(owners)) < sum(map(len, per_level)):
            raise ValueError("model uses a layer twice; expected separate weights for each layer")
        for level, (weight, bias) in zip(self.levels, parameters.layers, strict=True):
            shape = level.weight.shape
            of_bias = None if bias is None else on_host(bias)[0].reshape(shape[0], shape[2])
            level.write(on_host(weight)[0].reshape(shape), of_bias)
        if self.intercept is not None:
            added = self.intercept.source.kernel.copy()
            added.reshape(-1)[self.intercept.places] = on_host(parameters.intercept)[0]
            self.intercept.source.assign(added, None)

    def compare(self) -> None:
        """Raise NotAChain if the model's predictions differ from those of the networks."""
        if self.predict is None:
            return
        dtype = np.result_type(np.float32, *(level.weight for level in self.levels))
        sizes = np.repeat(_SIZES, 4)[:, None]
        rng = np.random.default_rng(0)
        samples = (sizes * rng.normal(size=(len(sizes), self.n_features))).astype(dtype)
        try:
            outputs = self.predict(samples)
            if isinstance(outputs, dict):
                outputs = list(outputs.values())
            every = outputs if isinstance(outputs, list | tuple) else [outputs]
            few_digits = any("16" in str(each.dtype) for each in every)
            arrays = [np.asarray(as_array(each), np.float64) for each in every]
            outputs = np.concatenate([each.reshape(len(each), -1) for each in arrays], axis=1)
        except Exception as error:  # a model may raise anything
            raise NotAChain(
                f"that cannot be called on {len(samples)} samples of "
                f"{count(self.n_features, 'feature')} ({type(error).__name__}: {error})"
            ) from error
        values = self.parameters.predict(samples.astype(np.float64), 0, None)[0]
        values = values.reshape(len(samples), -1)[:, self.place]
        with np.errstate(all="ignore"):
            if self.left_out == "softmax":
                powers = np.exp(values - values.max(axis=1, keepdims=True))
                values = powers / powers.sum(axis=1, keepdims=True)
            elif self.left_out == "sigmoid":
                values = 1 / (1 + np.exp(-values))
        tolerance, of_largest = (0.05, 0.3) if few_digits else (1e-4, 0.01)
        size = np.abs(values).max(axis=0, initial=0) if len(values) else 1.0
        with np.errstate(all="ignore"):
            is_close = (
                np.abs(outputs - values) <= tolerance * (np.abs(values) + of_largest * size + 1e-6)
                if outputs.shape == values.shape
                else np.array(False)
            )
        if not (is_close | ~np.isfinite(values)).all():
            raise NotAChain(
                "whose outputs are not those of its dense layers, applied in order, with the "
                f"activations {', '.join(level.activation.name for level in self.levels)}; it may "
                f"compute something else, or in fewer digits (float16)"
            )


def as_array(array: Any) -> Any:
    """Return an array or variable of any library as a NumPy array; bfloat16 becomes float32."""
    value = getattr(array, "value", None)
    if value is not None and not callable(value):  # Keras, whose own numpy() warns
        array = value
    if hasattr(array, "detach"):  # PyTorch, possibly on a GPU
        array = array.detach().cpu()
        array = array.float() if str(array.dtype) == "torch.bfloat16" else array
    if hasattr(array, "numpy"):
        array = array.numpy()
    if getattr(getattr(array, "dtype", None), "name", None) == "bfloat16":
        array = np.asarray(array).astype(np.float32)
    return array


def put(arrays: Any, key: Any, array: np.ndarray) -> None:
    """Replace an array in a list or mapping; variables and tensors are assigned in place."""
    old = arrays[key]
    if hasattr(old, "assign"):  # Keras
        old.assign(array.reshape(tuple(old.shape)))
    elif hasattr(old, "detach"):  # PyTorch
        old.detach().copy_(old.new_tensor(array.reshape(tuple(old.shape))))
    else:
        arrays[key] = array.reshape(np.shape(old))
