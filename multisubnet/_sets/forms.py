"""Conversions of weight sets: layers, pairs, flat vectors, models and files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self, overload

from multisubnet._arithmetic.activation import Activation
from multisubnet._arithmetic.names import unknown_keyword
from multisubnet._arrays import amounts, dtypes, namespaces, validation
from multisubnet._arrays.explanations import count, shown
from multisubnet._arrays.types import ArrayT, SetAxis
from multisubnet._functions import pairs as _pairs
from multisubnet._functions import theta as _theta
from multisubnet._functions.calls import explained, warn
from multisubnet._sets import models as _models
from multisubnet._sets.container import Container, copied
from multisubnet._sets.names import Names
from multisubnet._sets.parameters import Parameters, resolve

if TYPE_CHECKING:
    from multisubnet._arithmetic.activation import ActivationLike


_OPTIONS_OF_THETA = "n_features", "layer_sizes", "use_bias", "use_intercept", "axis"


class Forms(Container[ArrayT]):
    """Conversions of `WeightSets` from and to other forms."""

    __slots__ = ()

    @classmethod
    @explained("WeightSets.from_pairs")
    def from_pairs(
        cls,
        pairs: Any,
        activation: ActivationLike | None = None,
        *,
        feature_names: Iterable[str] | None = None,
        set_names: Iterable[str] | None = None,
    ) -> Self:
        """Create sets from (weight, bias) pairs.

        Parameters
        ----------
        pairs : array_like, shape (N, F, 2)
            As for `multisubnet.from_pairs`.
        activation : str or Activation, optional
            The activation.
        feature_names, set_names : iterable of str, optional
            As for `WeightSets`.

        Returns
        -------
        WeightSets

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets.from_pairs([[[2, 7], [9, 5]]]).bias
        array([[7, 5]])
        """
        weight, bias = _pairs.unpacked(pairs)
        parameters = Parameters(((weight, bias),), (None,)).named(feature_names, None, set_names)
        sets = cls._of(parameters)
        return sets if activation is None else sets._activated(activation)

    @classmethod
    @explained("WeightSets.from_models")
    def from_models(
        cls,
        models: Iterable[Any],
        activation: ActivationLike | None = None,
        *,
        feature_names: Iterable[str] | None = None,
        output_names: Iterable[str] | None = None,
        set_names: Iterable[str] | None = None,
    ) -> Self:
        """Create sets from the weights of trained models, in the order of the models.

        Parameters
        ----------
        models : iterable
            Models of the same structure. They have one weight and at most one bias per feature:

            - a tuple (weight, bias) of arrays of shape (F,); bias may be None;
            - a mapping with an array ``"weight"`` or ``"kernel"`` and optionally ``"bias"``, such
              as the state_dict of a torch module;
            - a Keras layer with these weights, or a model of one such layer (and dropout), such as
              ``EinsumDense("ab,b->ab", F, bias_axes="b")``, or ``Dense(1)`` with one feature;
            - a torch module with these parameters, or ``Linear(1, 1)``;
            - an estimator in the style of scikit-learn, with ``coef_`` and ``intercept_`` of shape
              (F,);
            - `WeightSets`, or an object with a method ``to_weight_sets``, all of whose sets are
              taken.

            Or they apply dense layers one after the other, and become networks:

            - scikit-learn's MLPRegressor, MLPClassifier and linear models;
            - a Keras model of ``Dense``, ``EinsumDense`` and activations. It can be one network, or
              one network per feature or group of features: branches that start from several inputs
              or from slices of one, and are concatenated or added; an ``EinsumDense`` with a
              feature axis, such as ``"bfi,fio->bfo"``; ``DepthwiseConv1D``, ``DepthwiseConv2D`` and
              grouped convolutions whose kernels cover their input;
            - a torch module of ``Linear`` and activations; branches can be in a ModuleList or be
              grouped convolutions;
            - a list of arrays like ``model.get_weights()``, of shapes (inputs, outputs) and
              (outputs,), optionally with a leading axis of S networks, or with the arrays of S
              branches, layer by layer; or a mapping like a state_dict, with ``weight`` of shape
              (outputs, inputs).
        activation : str or Activation, optional
            The activation of the models, or of their hidden layers, if it cannot be read from
            them, as in lists and mappings. The activation of a Keras layer is read and kept.
        feature_names, output_names, set_names : iterable of str, optional
            Names that replace those of the models: scikit-learn's ``feature_names_in_``, a
            classifier's classes as output names, and all names of `WeightSets`.

        Returns
        -------
        WeightSets
            Sets on the CPU, unless tuples, mappings or `WeightSets` hold CuPy arrays. bfloat16
            becomes float32.

        Raises
        ------
        ValueError
            A model has another structure, or its outputs do not follow from its weights; two
            models differ in features, feature names, activation or the presence of biases; a model
            has an activation other than the one given; there are no models.
        TypeError
            An item is not a model, or its dtype is not numeric; CuPy arrays are mixed with NumPy
            arrays.

        Warns
        -----
        UserWarning
            The models end in a softmax, or in a sigmoid of a sum over networks, which is left out:
            predictions are logits.

        See Also
        --------
        concatenate : join WeightSets.
        multisubnet.keras.stack_models : combine several models into one Keras model.

        Notes
        -----
        A weight and a bias of shape (F,) do not identify a layer: a normalization has them, too.
        Keras layers, torch modules and all models of dense layers are therefore called on a few
        samples, and refused if their outputs differ from those of the sets. (A module in training
        mode is copied, and the copy is put into evaluation mode.) Tuples, lists, mappings and
        estimators with one coefficient per feature are not checked in this way.

        The set of a scikit-learn classifier with two classes predicts the probability of the second
        one. A final softmax is left out, with a warning: the network predicts logits, and
        ``scipy.special.softmax(predictions, axis=-1)`` gives the probabilities. The sigmoid at the
        end of an additive model is left out as well; ``scipy.special.expit(predictions)`` gives
        the probabilities.

        If a model has one weight and one bias per feature, its sets have `weight` and `bias`, even
        if the model stores them as branches or convolutions. If a model adds up its outputs, its
        sets are additive.

        Examples
        --------
        >>> import multisubnet as ms
        >>> models = [([2, 9], [7, 5]), {"weight": [8, 6], "bias": [6, 3]}]
        >>> ms.WeightSets.from_models(models).weight
        array([[2, 9],
               [8, 6]])
        """
        parameters, left_out = _models.from_models(models, activation)
        if left_out:
            warn(_models.LEFT_OUT[left_out], UserWarning)
        return cls._own(parameters.named(feature_names, output_names, set_names))

    @explained("WeightSets.write_to")
    def write_to(self, model: Any, i: int | None = None) -> None:
        """Write one set to a model of a kind that `from_models` reads.

        Parameters
        ----------
        model : object
            A fitted scikit-learn estimator, a torch module, a Keras model or layer, or a list or
            mapping of arrays. It must have the structure and, unless it holds only arrays, the
            activations of the sets. Its weights are replaced.
        i : int, optional
            The index of the set; negative indices count from the end. A single set needs none.

        Raises
        ------
        ValueError
            The model has another structure or other ``feature_names_in_``; its outputs do not
            follow from its layers; it shares weights between networks that differ in the set.
        TypeError
            `i` is missing or not an integer; the model is a tuple or an object of this class.
        IndexError
            `i` is out of range.

        See Also
        --------
        from_models : the inverse.

        Examples
        --------
        >>> import multisubnet as ms
        >>> model = {"weight": [0.0, 0.0], "bias": [0.0, 0.0]}
        >>> ms.WeightSets([[2.0, 9.0]], [[7.0, 5.0]]).write_to(model)
        >>> model
        {'weight': array([2., 9.]), 'bias': array([7., 5.])}
        """
        _models.check_single(model)
        if i is None and len(self) != 1:
            raise TypeError(f"i is missing; expected the index of one of {len(self)} sets")
        i = 0 if i is None else i
        one = self[validation.as_int(i) if validation.as_int(i) is not None else i]
        if len(one) != 1:
            raise TypeError(f"i is {shown(i)}; expected the index of one set")
        _models.write_model(model, one._parameters)

    @explained("WeightSets.to_pairs")
    def to_pairs(self) -> ArrayT:
        """Return the sets as (weight, bias) pairs, a new array of shape (N, F, 2).

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets([[2, 9]], [[7, 5]]).to_pairs()
        array([[[2, 7],
                [9, 5]]])
        """
        return _pairs.to_pairs(*self._pair("to_pairs"))

    @classmethod
    @explained("WeightSets.from_layers")
    def from_layers(
        cls,
        layers: Sequence[Any],
        *,
        activation: ActivationLike | Sequence[ActivationLike | None] | None = "relu",
        output_activation: ActivationLike | None = None,
        inputs: Any = None,
        additive: bool = False,
        intercept: Any = None,
        feature_names: Iterable[str] | None = None,
        output_names: Iterable[str] | None = None,
        set_names: Iterable[str] | None = None,
    ) -> Self:
        """Create sets of networks with hidden layers.

        Parameters
        ----------
        layers, activation, output_activation, inputs, additive, intercept
            As for `mlp`: hidden layers have the activation ``"relu"`` by default. Arrays are
            copied, and parameters shared by all sets are repeated for each set.
        feature_names, set_names : iterable of str, optional
            As for `WeightSets`. With `inputs`, more features may have names than networks see.
        output_names : iterable of str, optional
            The names of the P outputs of a network.

        Returns
        -------
        WeightSets
            Sets whose `predict` returns what `mlp` does, of shape (N, B, S, P) or (N, B, P).

        Raises
        ------
        ValueError, IndexError, TypeError
            As for `mlp`.

        Examples
        --------
        Two sets of 1-2-1 networks, for each of three features:

        >>> import numpy as np
        >>> import multisubnet as ms
        >>> layers = [(np.ones((2, 3, 1, 2)), np.zeros((2, 3, 2))), np.ones((2, 3, 2, 1))]
        >>> sets = ms.WeightSets.from_layers(layers, additive=True)
        >>> sets
        WeightSets(N=2, 3 networks 1-2-1, float64 with bias on cpu, Activation('relu'), additive, \
        288 bytes)
        >>> sets[1].predict([[1.0, 2.0, -3.0]])
        array([[[6.]]])
        """
        n_sets, parameters = Parameters.of_networks(
            layers, activation, output_activation, inputs, additive, intercept
        )
        inputs = None if parameters.inputs is None else parameters.inputs.copy()
        named = parameters.named(feature_names, output_names, set_names, n_sets)
        return cls._own(named._replace(inputs=inputs), n_sets)

    @classmethod
    def _own(cls, parameters: Parameters, n_sets: int | None = None) -> Self:
        """Return sets with copies of arrays, some of which may have 1 in place of N."""
        n_sets = len(parameters.layers[0][0]) if n_sets is None else n_sets
        own = parameters.changed(lambda array: copied(array, (n_sets, *array.shape[1:])))
        return cls._of(own)

    @overload
    @classmethod
    def from_theta(
        cls,
        theta: Any,
        n_features: int,
        *,
        use_bias: bool = ...,
        axis: SetAxis = ...,
        activation: ActivationLike | None = ...,
        feature_names: Iterable[str] | None = ...,
        set_names: Iterable[str] | None = ...,
    ) -> Self: ...
    @overload
    @classmethod
    def from_theta(
        cls,
        theta: Any,
        n_features: int | None = ...,
        *,
        layer_sizes: Sequence[int],
        use_bias: bool | Sequence[bool] = ...,
        use_intercept: bool = ...,
        axis: SetAxis = ...,
        activation: ActivationLike | Sequence[ActivationLike | None] | None = ...,
        output_activation: ActivationLike | None = ...,
        inputs: Any = ...,
        additive: bool = ...,
        feature_names: Iterable[str] | None = ...,
        output_names: Iterable[str] | None = ...,
        set_names: Iterable[str] | None = ...,
    ) -> Self: ...
    @classmethod
    @explained("WeightSets.from_theta")
    def from_theta(
        cls,
        theta: Any,
        n_features: int | None = None,
        *,
        layer_sizes: Sequence[int] | None = None,
        use_bias: Any = True,
        use_intercept: bool = False,
        axis: SetAxis = 0,
        **options: Any,
    ) -> Self:
        """Create sets from flat parameter vectors, the form that optimizers use.

        Parameters
        ----------
        theta, axis
            As for `multisubnet.from_theta`. For networks, a vector has, layer by layer, all
            weights, of shape (S, inputs, outputs), then all biases, of shape (S, outputs). The
            intercept, of shape (P,), comes last.
        n_features : int
            The number of features, F. Not needed with `layer_sizes`.
        layer_sizes : sequence of int, optional
            Create networks with this number of inputs, then this number of outputs of each layer.
            The number of networks follows from the length of the vectors.
        use_bias : bool, or sequence of bool, optional
            Whether there are biases; for networks, optionally one value per layer.
        use_intercept : bool, optional
            Whether the vectors of additive networks end with an intercept.
        **options
            `activation`, `feature_names` and `set_names`, as for `WeightSets`. With `layer_sizes`,
            also `output_activation`, `inputs`, `additive` and `output_names`, with the defaults of
            `from_layers`: hidden layers have the activation ``"relu"``, because vectors do not say
            which one they were trained with.

        Returns
        -------
        WeightSets

        Raises
        ------
        ValueError, TypeError
            As for `multisubnet.from_theta` and `from_layers`; the length of the vectors fits no
            number of networks.

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets.from_theta([[2, 9, 7, 5]], 2).bias
        array([[7, 5]])

        A 1-2-1 network has 2 + 2 weights and 2 + 1 biases:

        >>> ms.WeightSets.from_theta([[1, -1, 0, 0, 2, 2, 5]], layer_sizes=(1, 2, 1)).layers[1][1]
        array([[[5]]])
        """
        own = ("activation", "feature_names", "set_names")
        of_networks = ("output_activation", "inputs", "additive", "output_names")
        known = own if layer_sizes is None else own + of_networks
        wrong = unknown_keyword("WeightSets.from_theta", options, (*known, *_OPTIONS_OF_THETA))
        if wrong is not None:
            raise wrong
        if layer_sizes is None:
            if n_features is None:
                raise TypeError("n_features is missing; pass it, or layer_sizes for networks")
            if isinstance(n_features, list | tuple):
                raise TypeError(
                    f"n_features is {n_features}; pass layer_sizes={n_features} for networks"
                )
            weight, bias = _theta.from_theta(theta, n_features, use_bias=use_bias, axis=axis)
            return cls(weight, bias, **options)
        layers, intercept = _theta.to_layers(
            theta,
            layer_sizes,
            use_bias=use_bias,
            use_intercept=use_intercept,
            axis=axis,
            additive=validation.flag("additive", options.get("additive", False)),
        )
        sets = cls.from_layers(layers, intercept=intercept, **options)
        if n_features is not None and sets.n_features != n_features:
            raise ValueError(
                f"theta has {count(sets.n_networks, 'network')} of "
                f"{count(sets.layer_sizes[0], 'input')}, which see "
                f"{count(sets.n_features, 'feature')}; expected {n_features}"
            )
        return sets

    @explained("WeightSets.to_theta")
    def to_theta(self, *, axis: SetAxis = 0) -> ArrayT:
        """Return the sets as flat parameter vectors, a new array.

        Parameters
        ----------
        axis : {0, 1}, optional
            As for `multisubnet.to_theta`.

        Returns
        -------
        ndarray, shape (N, P) or (P, N)
            P = 2F: all weights, then all biases; P = F without biases. For networks, the
            parameters are in the order that `from_theta` describes.

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets([[2, 9]], [[7, 5]]).to_theta()
        array([[2, 9, 7, 5]])
        """
        return _theta.joined(self._parameters.arrays, axis=axis)

    # Files.

    @explained("WeightSets.save")
    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the sets to a file. The file is written completely or not at all.

        Parameters
        ----------
        path : str or os.PathLike
            A name ending in ``.npz``, which NumPy can also read, or in ``.safetensors``. An
            existing file is replaced.

        Raises
        ------
        ValueError
            The name has another ending; the file format does not support the dtype: longdouble and
            complex128 in ``.safetensors``, bfloat16 in ``.npz``.
        OSError
            The file cannot be written.

        See Also
        --------
        load : the inverse.

        Notes
        -----
        The file contains the arrays ``weight`` and, if there are biases, ``bias``, bit for bit, in
        native byte order. It also contains ``activation``, a JSON text, and ``format_version``
        (both as metadata in ``.safetensors``). For networks with layers, the arrays are instead
        ``layers.0.weight``, ``layers.0.bias``, ``layers.0.activation`` and so on, ``additive``, and
        optionally ``inputs`` and ``intercept``. ``feature_names``, ``output_names`` and
        ``set_names``, if present, are JSON lists stored as bytes (uint8). Sets on the GPU are first
        copied to the host.

        Examples
        --------
        >>> import os, tempfile
        >>> import multisubnet as ms
        >>> sets = ms.WeightSets([[2.0, 3.0]], activation="tanh")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sets.save(os.path.join(folder, "sets.npz"))
        ...     ms.WeightSets.load(os.path.join(folder, "sets.npz")) == sets
        True
        """
        from multisubnet._files import (
            weight_files,  # imported here because JSON and zip take a while
        )

        parameters = self._parameters.changed(namespaces.on_host)
        arrays = parameters.arrays
        if parameters.inputs is not None:
            arrays["inputs"] = parameters.inputs
        arrays |= parameters.names.arrays
        stored = weight_files.StoredSets(arrays, parameters.activations, self.additive)
        weight_files.save(path, stored)

    @classmethod
    @explained("WeightSets.load")
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load sets from a file.

        Parameters
        ----------
        path : str or os.PathLike
            A ``.npz`` or ``.safetensors`` file written by `save`. Any other file with an array
            ``weight`` of shape (N, F) and optionally a ``bias`` also works; its sets are linear.
            (Files of networks must contain their activations.)

        Returns
        -------
        WeightSets
            Sets on the CPU.

        Raises
        ------
        ValueError
            The file is damaged, or has other contents; the message names the file.
        ImportError
            The file contains bfloat16, and ml_dtypes is not installed.
        MemoryError
            The arrays do not fit in the available memory.
        OSError
            The file cannot be read.

        See Also
        --------
        save : the inverse.

        Notes
        -----
        Nothing in a file is executed (pickles are refused), and no more memory is allocated than
        the file has data for.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> import multisubnet as ms
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(os.path.join(folder, "other.npz"), weight=[[1.0, 2.0], [3.0, 4.0]])
        ...     ms.WeightSets.load(os.path.join(folder, "other.npz"))
        WeightSets(N=2, F=2, float64 on cpu, 32 bytes)
        """
        from multisubnet._files import weight_files

        arrays, activations, additive = weight_files.load(path)
        try:
            names = Names.pop_from(arrays)
            n_sets, model = _model_of(arrays, activations, additive)
            for name, array in arrays.items():  # one at a time: a single copy in memory
                arrays[name] = _plain(path, array, (n_sets, *array.shape[1:]))
            return cls._of(Parameters.of_arrays(arrays, *model).named(*names))
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise ValueError(f"{path} has no sets of weights: {error}") from None


def _plain(path: Any, array: Any, shape: tuple[int, int]) -> Any:
    """Return an array from a file in the form that `copied` returns, copied only if needed."""
    is_native = array.dtype is dtypes.native(array.dtype)
    is_native &= array.dtype.kind != "b"  # a byte of a bool may be 2
    if is_native and array.shape == shape and array.flags.c_contiguous:
        return array
    amounts.check_fits(path, math.prod(shape) * array.itemsize)
    return copied(array, shape)


def _model_of(
    arrays: dict[str, Any], activations: Sequence[Activation | None], additive: bool
) -> tuple[int, tuple[Any, ...]]:
    """Return N and the parts of a file that are not float arrays; `inputs` is removed from it."""
    if "weight" in arrays:
        *_, (n_sets, _) = validation.read_parameters(arrays["weight"], arrays.get("bias"))
        return n_sets, (tuple(map(resolve, activations)),)
    inputs = arrays.pop("inputs", None)
    *hidden, last = activations
    given = Parameters.of_arrays(arrays, (*hidden, last))
    n_sets, valid = Parameters.of_networks(
        given.layers, hidden, last, inputs, additive, given.intercept
    )
    return n_sets, (valid.activations, valid.inputs, additive)
