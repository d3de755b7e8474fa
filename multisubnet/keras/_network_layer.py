"""The Keras layer of N sets of networks with hidden layers."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import activations, initializers, ops, regularizers

from multisubnet._arrays.explanations import count
from multisubnet._arrays.validation import flag
from multisubnet._functions import mlp_operands
from multisubnet._functions.calls import warn
from multisubnet._functions.mlp import mlp
from multisubnet._sets.models import LEFT_OUT, as_array
from multisubnet._sets.weight_sets import WeightSets
from multisubnet.keras._activation import (
    PACKAGE,
    activation_of_sets,
    keras_activation,
    own_activation,
)
from multisubnet.keras._calls import explained, not_sets
from multisubnet.keras._compiled_model import warn_of_compilation
from multisubnet.keras._initializers import build_with, draw, get_initializer, next_of, of_layer

_OF_MLP = ("jax", "numpy", "torch")  # Keras backends whose arrays `mlp` takes


@keras.saving.register_keras_serializable(package=PACKAGE)
class StackedMLP(keras.layers.Layer):
    """N sets of S small networks with hidden layers.

    The layer computes `multisubnet.mlp` for inputs of shape (batch, F). Its outputs have the shape
    (batch, N, S, P), where P is the number of outputs of a network; or (batch, N, P) with
    ``additive=True``.

    Parameters
    ----------
    n_sets : int
        The number of sets, N.
    layer_sizes : sequence of int
        The number of inputs of a network, then the number of units of each layer: (1, 16, 16, 1)
        has two hidden layers.
    n_subnetworks : int, optional
        The number of networks per set, S. If each has one input, as in additive models, this is
        the number of features.
    activation : str, callable, multisubnet.Activation, None, or a sequence of them, optional
        The activation of all hidden layers, or a sequence with one per hidden layer;
        `multisubnet.Activation` lists them. None is linear.
    output_activation : str, callable, multisubnet.Activation or None, optional
        The activation of the last layer, before outputs are added up; or ``"softmax"``, applied to
        the P outputs of a network, or to their sums if `additive`. For probabilities of two classes
        from sums, leave it linear, and add ``keras.layers.Activation("sigmoid")`` after the layer.
    use_bias : bool or sequence of bool, optional
        Whether layers have biases: one value for all, or one per layer.
    inputs : array_like of int, shape (S, layer_sizes[0]), optional
        The features that each network sees, as for `multisubnet.mlp`.
    additive : bool, optional
        Whether the outputs of a set's networks are added up.
    intercept : bool, optional
        Whether the sums have an intercept, initially 0; by default they do if ``additive=True``.
    kernel_initializer, bias_initializer : str or keras.initializers.Initializer, optional
        Initializers of the weights. Each number is drawn separately, with the scale that it has in
        a ``Dense`` of one network. Orthogonal and Identity, which create matrices, are refused.
    kernel_regularizer, bias_regularizer : str, Regularizer or sequence of them, optional
        Penalties on each layer's kernel and bias: one for all layers, or a sequence with one per
        layer. Penalties that are sums, such as Keras' ``l1`` and ``l2``, act on each network as if
        it were alone.
    activity_regularizer : str or keras.regularizers.Regularizer, optional
        A penalty on the outputs.
    trainable : bool or sequence of bool, optional
        Whether training changes the weights; or a sequence with one value per layer. As in Keras,
        setting ``trainable = True`` on the built layer releases all layers, except on TensorFlow if
        it was a sequence. An intercept is trained unless `trainable` is False.
    **kwargs
        As for `keras.layers.Layer`: ``name``, ``dtype``.

    Attributes
    ----------
    kernels : list of keras.Variable, shape (N, S, inputs, outputs)
        The weights of each layer.
    biases : list of keras.Variable, shape (N, S, outputs), or None
        The biases of each layer.
    intercept : keras.Variable, shape (N, P), or None
        The initial values of sums over networks.

    Raises
    ------
    ValueError
        A size is not a positive integer, or there are fewer than two; an activation is unknown; the
        number of activations differs from the number of hidden layers; `intercept` is combined with
        ``additive=False``; an initializer creates matrices. When built: `inputs` is missing or has
        another shape.
    TypeError
        `layer_sizes` is not a sequence; an activation is a derivative; an option is misspelt or
        not passed by name.
    IndexError
        When built: `inputs` contains a feature number that is out of range.

    See Also
    --------
    StackedLoss : the loss of each set, with targets shared by sets.
    StackedAffine : one weight and one bias per feature.
    stack_models : combine N trained models into one.

    Notes
    -----
    With the backends JAX and PyTorch, the layer calls `multisubnet.mlp`, which also provides the
    gradients. With PyTorch, and with JAX outside its transformations, the outputs have the bits of
    `multisubnet.WeightSets.predict`; ``fit`` and ``predict`` on JAX compile other operations. With
    other backends, the layer uses Keras' own operations.

    Examples
    --------
    Ten neural additive models of three features:

    >>> import numpy as np
    >>> from multisubnet.keras import StackedMLP
    >>> layer = StackedMLP(10, (1, 16, 1), n_subnetworks=3, additive=True)
    >>> layer(np.ones((5, 3), "float32")).shape == (5, 10, 1)
    True
    >>> layer.count_params()  # 10 sets of 3 networks with 49 parameters, and 10 intercepts
    1480
    """

    _initial: Any = None  # weights to start from, while `build_with` builds the layer

    @explained("StackedMLP")
    def __init__(
        self,
        n_sets: int,
        layer_sizes: Sequence[int],
        *,
        n_subnetworks: int = 1,
        activation: Any = "relu",
        output_activation: Any = None,
        use_bias: bool | Sequence[bool] = True,
        inputs: Any = None,
        additive: bool = False,
        intercept: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        trainable: bool | Sequence[bool] = True,
        **kwargs: Any,
    ) -> None:
        is_given_per_layer = np.ndim(trainable) > 0
        super().__init__(
            activity_regularizer=activity_regularizer,
            trainable=is_given_per_layer or flag("trainable", trainable),
            **kwargs,
        )
        self.n_sets = _positive("n_sets", n_sets)
        if isinstance(layer_sizes, str) or not isinstance(layer_sizes, Iterable):
            raise TypeError(
                f"layer_sizes is {layer_sizes!r}; expected a sequence: the inputs of a network and "
                f"the units of each layer, as in (1, 16, 1)"
            )
        self.layer_sizes = tuple(_positive("layer_sizes", size) for size in layer_sizes)
        n_layers = len(self.layer_sizes) - 1
        if n_layers < 1:
            raise ValueError(
                f"layer_sizes is {self.layer_sizes}; expected the inputs of a network and the "
                f"units of at least one layer, as in (1, 16, 1)"
            )
        self._trained = _flags("trainable", trainable, n_layers)
        self.n_subnetworks = _positive("n_subnetworks", n_subnetworks)
        self.is_softmax = _is_softmax(output_activation)
        last = None if self.is_softmax else output_activation
        given = mlp_operands.activation_per_layer(activation, last, n_layers)
        self._activations = tuple(map(own_activation, given))
        self.use_bias = _flags("use_bias", use_bias, n_layers)
        self.additive = flag("additive", additive)
        self.has_intercept = self.additive
        if intercept is not None:
            self.has_intercept = flag("intercept", intercept)
        if self.has_intercept and not self.additive:
            raise ValueError("intercept requires additive=True")
        rows = None if inputs is None else np.asarray(inputs).tolist()
        self.inputs = None if rows is None else tuple(map(tuple, rows))
        self.kernel_initializer = get_initializer("kernel_initializer", kernel_initializer)
        self.bias_initializer = get_initializer("bias_initializer", bias_initializer)
        get = regularizers.get
        self.kernel_regularizer = _of_layers(
            "kernel_regularizer", kernel_regularizer, n_layers, get
        )
        self.bias_regularizer = _of_layers("bias_regularizer", bias_regularizer, n_layers, get)
        self.input_spec = keras.layers.InputSpec(ndim=2)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, int]) -> None:
        """Create the weights for inputs of shape (batch, F)."""
        n_features = input_shape[-1]
        self._validate(n_features)
        self.kernels, self.biases = [], []
        for number, sizes in enumerate(itertools.pairwise(self.layer_sizes)):
            self.kernels.append(self._add("kernel", number, sizes))
            biased = _of_layer(self.use_bias, number)
            self.biases.append(self._add("bias", number, sizes[1:]) if biased else None)
        self.intercept = None
        if self.has_intercept:
            shape = self.n_sets, self.layer_sizes[-1]
            initializer = next_of(self, "zeros")
            self.intercept = self.add_weight(name="intercept", shape=shape, initializer=initializer)
        if isinstance(self._trained, tuple):
            for learns, variables in zip(self._trained, self._variables_of_layers, strict=True):
                for variable in variables:
                    variable.trainable = learns
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: n_features})
        self.built = True

    @property
    def _variables_of_layers(self) -> list[list[Any]]:
        """The kernel and the bias of each layer."""
        pairs = zip(self.kernels, self.biases, strict=True)
        return [[x for x in pair if x is not None] for pair in pairs]

    def _validate(self, n_features: int) -> None:
        """Raise unless the networks fit the number of features, as `multisubnet.mlp` does."""
        n_networks, size = self.n_subnetworks, self.layer_sizes[0]
        if self.inputs is None and (n_networks, size) not in ((1, n_features), (n_features, 1)):
            raise ValueError(
                f"layer_sizes[0] is {size} and n_subnetworks is {n_networks}, which does not fit "
                f"{count(n_features, 'feature')}; expected layer_sizes=({n_features}, ...) for one "
                f"network, layer_sizes=(1, ...) and n_subnetworks={n_features} for one per "
                f"feature, or inputs= for others"
            )

        def zeros(*shape: int) -> np.ndarray:
            return np.broadcast_to(np.float32(0), shape)

        layers = [
            zeros(1, self.n_subnetworks, *sizes) for sizes in itertools.pairwise(self.layer_sizes)
        ]
        named = mlp_operands.name_operands(zeros(1, n_features), layers, None)
        *hidden, last = self._activations
        mlp_operands.read(named, hidden, last, self.inputs, self.additive, None)

    def _add(self, name: str, number: int, of_one: tuple[int, ...]) -> Any:
        """Create a variable of a layer that has the shape `of_one` in a single network."""
        initializer = of_layer(getattr(self, f"{name}_initializer"), number)
        drawn = functools.partial(draw, initializer, of_one=of_one)
        return self.add_weight(
            name=f"{name}_{number}",
            shape=(self.n_sets, self.n_subnetworks, *of_one),
            initializer=next_of(self, drawn),
            regularizer=_of_layer(getattr(self, f"{name}_regularizer"), number),
        )

    def call(self, inputs: Any) -> Any:
        """Return outputs of shape (batch, N, S, P), or (batch, N, P), for inputs (batch, F)."""
        inputs = ops.cast(inputs, self.compute_dtype)
        layers = [
            (ops.convert_to_tensor(kernel), None if bias is None else ops.convert_to_tensor(bias))
            for kernel, bias in zip(self.kernels, self.biases, strict=True)
        ]
        intercept = None if self.intercept is None else ops.convert_to_tensor(self.intercept)
        is_own = keras.backend.backend() in _OF_MLP
        evaluate = self._in_mlp if is_own else self._in_operations
        outputs = evaluate(inputs, layers, intercept)
        warn_of_compilation(self, tuple(outputs.shape))
        return activations.softmax(outputs) if self.is_softmax else outputs

    def _in_mlp(self, inputs: Any, layers: list[Any], intercept: Any) -> Any:
        """Return the outputs, computed by this library."""
        *hidden, last = self._activations
        return mlp(
            inputs,
            layers,
            activation=hidden,
            output_activation=last,
            inputs=self.inputs,
            additive=self.additive,
            intercept=intercept,
            set_axis=1,
        )

    def _in_operations(self, inputs: Any, layers: list[Any], intercept: Any) -> Any:
        """Return the outputs, computed with Keras' operations."""
        seen = range(inputs.shape[-1]) if self.inputs is None else itertools.chain(*self.inputs)
        h = ops.take(inputs, np.array([*seen]), axis=1)
        h = ops.reshape(h, (-1, 1, self.n_subnetworks, self.layer_sizes[0]))
        h = ops.repeat(h, self.n_sets, axis=1)
        for (kernel, bias), activation in zip(layers, self._activations, strict=True):
            h = ops.einsum("bnsi,nsio->bnso", h, kernel)
            h = h if bias is None else ops.add(h, bias)
            h = h if activation is None else keras_activation(activation)(h)
        if not self.additive:
            return h
        total = ops.sum(h, axis=2)
        return total if intercept is None else ops.add(total, intercept)

    def compute_output_shape(self, input_shape: tuple[int | None, int]) -> tuple:
        """Return (batch, N, S, P), or (batch, N, P) if additive, for (batch, F)."""
        of_networks = () if self.additive else (self.n_subnetworks,)
        return (input_shape[0], self.n_sets, *of_networks, self.layer_sizes[-1])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments with which `from_config` creates an equal layer, without weights."""
        *hidden, last = (activations.serialize(keras_activation(a)) for a in self._activations)
        last = "softmax" if self.is_softmax else last
        return {
            **super().get_config(),
            "n_sets": self.n_sets,
            "layer_sizes": self.layer_sizes,
            "n_subnetworks": self.n_subnetworks,
            "activation": hidden,
            "output_activation": last,
            "use_bias": self.use_bias,
            "inputs": self.inputs,
            "additive": self.additive,
            "intercept": self.has_intercept,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": _serialized(self.kernel_regularizer),
            "bias_regularizer": _serialized(self.bias_regularizer),
            "trainable": self._trained_now,
        }

    @property
    def _trained_now(self) -> bool | tuple[bool, ...]:
        """The argument `trainable` for the current state: one value, or one per layer."""
        if not self.trainable:
            return False
        if not self.built:
            return self._trained
        each = tuple(any(x.trainable for x in of) for of in self._variables_of_layers)
        return all(each) or each

    @classmethod
    def from_weight_sets(
        cls, sets: WeightSets[Any], output_activation: Any = None, **kwargs: Any
    ) -> StackedMLP:
        """Create a layer from `multisubnet.WeightSets`; the weights are copied.

        Parameters
        ----------
        sets : WeightSets
            The sets, of networks or of affine functions.
        output_activation : optional
            As for the layer, ``"softmax"`` for example; only if `sets` has none.
        **kwargs
            As for the layer. The weights are rounded to its ``dtype``, by default that of Keras
            (float32 unless changed).

        Returns
        -------
        StackedMLP
            A built layer.

        Raises
        ------
        ValueError
            `sets` is empty; both the argument and `sets` have an output activation.
        TypeError
            `sets` is something else; the weights are complex.

        Examples
        --------
        >>> import numpy as np
        >>> import multisubnet as ms
        >>> from multisubnet.keras import StackedMLP
        >>> sets = ms.WeightSets.from_layers([np.ones((2, 1, 3, 4)), np.ones((2, 1, 4, 1))])
        >>> StackedMLP.from_weight_sets(sets).layer_sizes
        (3, 4, 1)
        """
        if not isinstance(sets, WeightSets):
            raise not_sets(sets)
        output_activation = activation_of_sets(sets, "output_activation", output_activation)
        on_host = sets.to("numpy")
        biased = tuple(bias is not None for _, bias in on_host.layers)
        layer = cls(
            len(sets),
            sets.layer_sizes,
            n_subnetworks=sets.n_networks,
            activation=sets.activation if len(biased) > 1 else None,
            output_activation=output_activation,
            use_bias=biased[0] if len(set(biased)) == 1 else biased,
            inputs=sets.inputs,
            additive=sets.additive,
            intercept=sets.intercept is not None,
            **kwargs,
        )
        arrays = [*itertools.chain(*on_host.layers), on_host.intercept]
        build_with(layer, sets.n_features, arrays)
        return layer

    def to_weight_sets(self) -> WeightSets[Any]:
        """Return the current weights, on the CPU, with the options of the layer.

        Returns
        -------
        WeightSets
            N sets, in the layer's dtype (float32 if that is bfloat16).

        Raises
        ------
        ValueError
            The layer is not built yet.

        Warns
        -----
        UserWarning
            The layer ends in a softmax, but the outputs of the sets are logits.
        """
        sets = self._weight_sets()
        if self.is_softmax:
            warn(LEFT_OUT["softmax"], UserWarning)
        return sets

    def _weight_sets(self) -> WeightSets[Any]:
        """Return the current weights without a warning."""
        if not self.built:
            raise ValueError(f"the layer {self.name!r} has no weights before it is built")
        *hidden, last = self._activations
        return WeightSets.from_layers(
            [
                (as_array(kernel), None if bias is None else as_array(bias))
                for kernel, bias in zip(self.kernels, self.biases, strict=True)
            ],
            activation=hidden,
            output_activation=last,
            inputs=self.inputs,
            additive=self.additive,
            intercept=None if self.intercept is None else as_array(self.intercept),
        )


def _of_layers(name: str, given: Any, n_layers: int, read: Callable[[Any], Any]) -> Any:
    """Return an option of all layers, or a tuple with one per layer if a sequence is given."""
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if not isinstance(given, list | tuple):
        return read(given)
    if len(given) != n_layers:
        raise ValueError(
            f"{name} has {len(given)} entries; expected one for all layers, or {n_layers} of them, "
            f"one per layer"
        )
    return tuple(map(read, given))


def _flags(name: str, option: Any, n_layers: int) -> Any:
    """Return an option that is true or false, for all layers or one by one."""
    return _of_layers(name, option, n_layers, functools.partial(flag, name))


def _of_layer(option: Any, number: int) -> Any:
    """Return the option of one layer."""
    return option[number] if isinstance(option, tuple) else option


def _serialized(option: Any) -> Any:
    if isinstance(option, tuple):
        return [*map(regularizers.serialize, option)]
    return regularizers.serialize(option)


def _is_softmax(activation: Any) -> bool:
    """Return whether an activation is Keras' softmax over the last axis."""
    if isinstance(activation, str):
        return activation.lower() == "softmax"
    return activation is activations.softmax


def _positive(name: str, number: Any) -> int:
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
        raise ValueError(f"{name} has {number!r}; expected a positive integer")
    return int(number)


StackedMLP.__module__ = "multisubnet.keras"  # where Keras and pickles look for it
