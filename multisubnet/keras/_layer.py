"""The Keras layer of N sets of weights."""

from __future__ import annotations

import functools
import sys
from typing import Any

import keras
import numpy as np
from keras import activations, constraints, initializers, ops, regularizers

from multisubnet._arrays.validation import flag
from multisubnet._backends import choice
from multisubnet._functions.affine import affine
from multisubnet._sets.models import as_array, of_keras
from multisubnet._sets.weight_sets import WeightSets
from multisubnet.keras._activation import PACKAGE, activation_of_sets, keras_activation
from multisubnet.keras._calls import contains_models, explained, not_sets
from multisubnet.keras._compiled_model import warn_of_compilation
from multisubnet.keras._initializers import build_with, draw, get_initializer, next_of


@keras.saving.register_keras_serializable(package=PACKAGE)
class StackedAffine(keras.layers.Layer):
    """N weight sets of one model with one weight and one bias per feature.

    The layer computes, for inputs of shape (batch, F)::

        outputs[b, n, f] = activation(inputs[b, f] * kernel[n, f] + bias[n, f])

    Parameters
    ----------
    sets : int
        The number of sets, N.
    activation : str, callable or multisubnet.Activation, optional
        As in Keras' own layers, or a `multisubnet.Activation` (for parameters, and for
        ``gelu_tanh``). None is linear.
    use_bias : bool, optional
        Whether there is a bias.
    kernel_initializer, bias_initializer : str or keras.initializers.Initializer, optional
        Initializers of the weights. Each number is drawn separately. Initializers that scale by
        fans (``"glorot_uniform"``, ``"he_normal"``, ...) see each number as a weight between one
        input and one output, with both fans 1: it is drawn like the kernel of a ``Dense(1)`` on one
        feature, for any N and F. Orthogonal and Identity, which create matrices, are refused.
    kernel_regularizer, bias_regularizer : str or keras.regularizers.Regularizer, optional
        Penalties on the whole kernel and the whole bias. Penalties that are sums, such as Keras'
        ``l1`` and ``l2``, act on each set as if it were alone.
    activity_regularizer : str or keras.regularizers.Regularizer, optional
        A penalty on the outputs.
    kernel_constraint, bias_constraint : str or keras.constraints.Constraint, optional
        Constraints applied to kernel and bias, of shape (N, F), after each update.
    **kwargs
        As for `keras.layers.Layer`: ``name``, ``dtype``, ``trainable``.

    Attributes
    ----------
    kernel : keras.Variable, shape (N, F)
        The weights.
    bias : keras.Variable, shape (N, F), or None
        The biases.

    Raises
    ------
    ValueError
        `sets` is not a positive integer; an initializer creates matrices; Keras does not know a
        name.
    TypeError
        `activation` is the derivative of a `multisubnet.Activation`.

    See Also
    --------
    stack_models : combine N trained models into one.
    multisubnet.WeightSets : the same sets, with predictions in one pass on all cores.

    Notes
    -----
    With Keras' backends PyTorch and NumPy, the CPU engine of this library computes outputs on the
    CPU that need no gradient, if there is enough to compute. These have the bits of
    `multisubnet.WeightSets.predict`. Otherwise Keras' backend computes the outputs, and may
    contract product and sum to a fused multiply-add.

    Keras' ``predict`` takes 32 samples at a time, and concatenates the results at the end. A faster
    way to the same result is ``layer.to_weight_sets().predict(samples, set_axis=1)``.

    Examples
    --------
    >>> import numpy as np
    >>> from multisubnet.keras import StackedAffine
    >>> layer = StackedAffine(3, activation="relu")
    >>> layer(np.ones((5, 2), "float32")).shape == (5, 3, 2)
    True
    >>> layer.count_params()
    12
    """

    _initial: Any = None  # weights to start from, while `build_with` builds the layer

    @explained("StackedAffine")
    def __init__(
        self,
        sets: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(sets, bool) or not isinstance(sets, int | np.integer) or sets < 1:
            raise ValueError(f"sets must be a positive integer, not {sets!r}")
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.sets = int(sets)
        self.activation = keras_activation(activation)
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = get_initializer("kernel_initializer", kernel_initializer)
        self.bias_initializer = get_initializer("bias_initializer", bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = keras.layers.InputSpec(ndim=2)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, int]) -> None:
        """Create the weights for inputs of shape (batch, F)."""
        n_features = input_shape[-1]
        self.kernel = self._add("kernel", n_features)
        self.bias = self._add("bias", n_features) if self.use_bias else None
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: n_features})
        self.built = True

    def _add(self, name: str, n_features: int) -> Any:
        initializer = getattr(self, f"{name}_initializer")
        drawn = functools.partial(draw, initializer, of_one=())
        return self.add_weight(
            name=name,
            shape=(self.sets, n_features),
            initializer=next_of(self, drawn),
            regularizer=getattr(self, f"{name}_regularizer"),
            constraint=getattr(self, f"{name}_constraint"),
        )

    def call(self, inputs: Any) -> Any:
        """Return outputs of shape (batch, N, F) for inputs of shape (batch, F)."""
        kernel = ops.convert_to_tensor(self.kernel)
        bias = None if self.bias is None else ops.convert_to_tensor(self.bias)
        warn_of_compilation(self, (None, *kernel.shape))
        outputs = _by_engine(inputs, kernel, bias, self.activation)
        if outputs is not None:
            return outputs
        outputs = ops.multiply(ops.expand_dims(inputs, 1), kernel)
        if bias is not None:
            outputs = ops.add(outputs, bias)
        return self.activation(outputs)

    def compute_output_shape(self, input_shape: tuple[int | None, int]) -> tuple:
        """Return (batch, N, F) for (batch, F)."""
        return (input_shape[0], self.sets, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments with which `from_config` creates an equal layer, without weights."""
        return {
            **super().get_config(),
            "sets": self.sets,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }

    @classmethod
    def from_weight_sets(cls, sets: Any, activation: Any = None, **kwargs: Any) -> StackedAffine:
        """Create a layer from sets of weights.

        Parameters
        ----------
        sets : WeightSets, or array_like of shape (N, F, 2)
            The sets; or (weight, bias) pairs, as for `multisubnet.from_pairs`.
        activation : optional
            As for the layer; only if `sets` has none.
        **kwargs
            As for the layer. The weights are rounded to its ``dtype``, by default that of Keras
            (float32 unless changed).

        Returns
        -------
        StackedAffine
            A built layer, with a bias if `sets` has one.

        Raises
        ------
        ValueError
            `sets` is empty or has another shape; both the argument and `sets` have an activation.
        TypeError
            `sets` are models or networks with hidden layers; the weights are complex; as for
            `WeightSets.from_pairs`.

        Examples
        --------
        >>> from multisubnet.keras import StackedAffine
        >>> w1 = [[2, 7], [9, 5]]  # one (weight, bias) pair per feature
        >>> w2 = [[8, 6], [6, 3]]
        >>> layer = StackedAffine.from_weight_sets([w1, w2])
        >>> layer.to_weight_sets().bias
        array([[7., 5.],
               [6., 3.]], dtype=float32)
        """
        if contains_models(sets):
            raise not_sets(sets)
        if not isinstance(sets, WeightSets):
            sets = WeightSets.from_pairs(sets)
        if not sets._parameters.is_affine:
            raise TypeError(
                f"sets are networks with the layer sizes {sets.layer_sizes}; expected one weight "
                f"and at most one bias per feature: use StackedMLP.from_weight_sets"
            )
        activation = activation_of_sets(sets, "activation", activation)
        layer = cls(len(sets), activation, use_bias=sets.bias is not None, **kwargs)
        on_host = sets.to("numpy")
        build_with(layer, sets.n_features, (on_host.weight, on_host.bias))
        return layer

    def to_weight_sets(self) -> WeightSets:
        """Return the current weights.

        Returns
        -------
        WeightSets
            N sets on the CPU, in the layer's dtype (float32 if that is bfloat16), with the
            activation.

        Raises
        ------
        ValueError
            The layer is not built yet; `multisubnet.Activation` does not have its activation.

        Examples
        --------
        >>> from multisubnet.keras import StackedAffine
        >>> layer = StackedAffine.from_weight_sets([[[2, 7], [9, 5]]], activation="tanh")
        >>> layer.to_weight_sets()
        WeightSets(N=1, F=2, float32 with bias on cpu, Activation('tanh'), 16 bytes)
        """
        if not self.built:
            raise ValueError(f"the layer {self.name!r} has no weights before it is built")
        activation = of_keras(self.activation)
        if activation is None:
            raise ValueError(
                f"the layer {self.name!r} has the activation {self.activation!r}; expected one "
                f"that multisubnet.Activation has"
            )
        bias = None if self.bias is None else as_array(self.bias)
        return WeightSets(as_array(self.kernel), bias, activation)


def _by_engine(inputs: Any, kernel: Any, bias: Any, activation: Any) -> Any:
    """Return the outputs of this library's CPU engine, or None if it cannot be used.

    It can be used if tensors are in NumPy memory and neither gradients nor graphs are recorded.
    """
    backend = keras.backend.backend()
    if backend not in ("numpy", "torch"):
        return None
    tensors = [inputs, kernel] if bias is None else [inputs, kernel, bias]
    arrays = tensors if backend == "numpy" else _shared(tensors)
    if arrays is None or any(array.dtype != arrays[0].dtype for array in arrays):
        return None
    samples, *weights = arrays
    own = of_keras(activation)
    applied = None if own is None or own.key == "linear" else own
    shape = len(samples), *weights[0].shape
    # If the engine does not pay off, the backend is as fast or faster.
    if choice.choose("affine", np, samples.dtype, shape, None, applied).NAME != "numba":
        return None
    outputs = ops.convert_to_tensor(affine(samples, *weights, activation=applied, set_axis=1))
    return activation(outputs) if own is None else outputs


def _shared(tensors: list[Any]) -> list[np.ndarray] | None:
    """Return PyTorch tensors as NumPy arrays that share their memory, or None."""
    torch = sys.modules["torch"]
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return None
    if torch._C._len_torch_dispatch_stack() or torch.autograd.forward_ad._current_level >= 0:
        return None  # make_fx and other tracers of operations; tangents
    try:
        return [x.detach().numpy() for x in tensors]
    except (RuntimeError, TypeError):  # on a GPU, inside torch.func, or a dtype that NumPy lacks
        return None


StackedAffine.__module__ = "multisubnet.keras"  # where Keras and pickles look for it
