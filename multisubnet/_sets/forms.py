"""Sets of weights in other forms: layers, pairs, flat vectors, files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self, overload

from multisubnet._arithmetic.activation import Activation
from multisubnet._arrays import dtypes, namespaces, validation
from multisubnet._arrays.types import ArrayT, SetAxis
from multisubnet._functions import pairs as _pairs
from multisubnet._functions import theta as _theta
from multisubnet._memory import amounts
from multisubnet._sets import models as _models
from multisubnet._sets.container import Container, copied
from multisubnet._sets.names import Names
from multisubnet._sets.parameters import Parameters, resolve

if TYPE_CHECKING:
    from multisubnet._arithmetic.activation import ActivationLike


class Forms(Container[ArrayT]):
    """The conversions of `WeightSets`, from other forms and to them."""

    __slots__ = ()

    @classmethod
    def from_pairs(
        cls,
        pairs: Any,
        activation: ActivationLike | None = None,
        *,
        feature_names: Iterable[str] | None = None,
        set_names: Iterable[str] | None = None,
    ) -> Self:
        """Make sets of (weight, bias) pairs.

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
    def from_models(
        cls,
        models: Iterable[Any],
        activation: ActivationLike | None = None,
        *,
        feature_names: Iterable[str] | None = None,
        output_names: Iterable[str] | None = None,
        set_names: Iterable[str] | None = None,
    ) -> Self:
        """Make sets of the weights of trained models, one after the other.

        Parameters
        ----------
        models : iterable
            Models of one structure: a weight and a bias, or none, for each of F features. Each is

            - a tuple (weight, bias) of arrays of shape (F,), where bias may be None;
            - a mapping with an array ``"weight"`` or ``"kernel"``, and perhaps ``"bias"``, such as
              the state_dict of a torch module;
            - a Keras layer with such weights, or a model of one such layer (and dropout), such as
              ``EinsumDense("ab,b->ab", F, bias_axes="b")``, or ``Dense(1)`` on one feature;
            - a torch module with such parameters, or ``Linear(1, 1)``;
            - an estimator in scikit-learn's style with ``coef_`` and ``intercept_`` of shape (F,);
            - `WeightSets`, or an object with a method ``to_weight_sets``: all its sets are added.

            Or models of dense layers one after the other, which give networks:

            - scikit-learn's MLPRegressor and MLPClassifier, and linear models;
            - a Keras model of ``Dense``, ``EinsumDense`` and activations, of one network, or of
              one for each feature or group of features: branches of several inputs or of slices of
              one, concatenated or added up; an ``EinsumDense`` with an axis of features, such as
              ``"bfi,fio->bfo"``; ``DepthwiseConv1D`` and ``2D``, and convolutions with groups,
              whose kernels cover their input;
            - a torch module of ``Linear`` and activations, with such branches in a ModuleList, or
              grouped convolutions;
            - a list of arrays like ``model.get_weights()``, of shapes (inputs, outputs) and
              (outputs,), or with a first axis of S networks, or those of S branches, layer by
              layer; or a mapping like a state_dict, whose ``weight`` are (outputs, inputs).
        activation : str or Activation, optional
            The activation of all models, or of their hidden layers, where they have none that can
            be seen, as in lists and mappings. That of a Keras layer can, and is carried over.
        feature_names, output_names, set_names : iterable of str, optional
            Names in place of those that models have: scikit-learn's ``feature_names_in_``, the
            classes of a classifier as names of outputs, and all names of `WeightSets`.

        Returns
        -------
        WeightSets
            With arrays on the CPU, unless those of tuples, mappings and `WeightSets` are CuPy's.
            bfloat16 becomes float32.

        Raises
        ------
        ValueError
            A model has another structure, or computes something else than its weights say; two
            differ in features or their names, activation, or in whether they have biases; one has
            another activation than is given; there are no models.
        TypeError
            Something that is no model is among them, or has a dtype that is no number's; some are
            on the GPU and others are not.

        See Also
        --------
        concatenate : join WeightSets.
        multisubnet.keras.stack_models : one Keras model of several.

        Notes
        -----
        A normalization and others have a weight and a bias of shape (F,), too. Keras layers and
        torch modules are therefore called on some samples (a copy in evaluation mode, if a module
        is in training), and refused if the outputs are not those of such sets; so are all models of
        dense layers. Tuples, lists, mappings and estimators of one coefficient per feature are
        taken at their word.

        A classifier of two classes gives the probability of the second one. With more classes, a
        softmax over all of them is left out: the network gives the logits.

        One weight and one bias per feature are sets with `weight` and `bias`, also where a model
        has them as branches or convolutions. If outputs are added up, the sets are additive.

        Examples
        --------
        >>> import multisubnet as ms
        >>> models = [([2, 9], [7, 5]), {"weight": [8, 6], "bias": [6, 3]}]
        >>> ms.WeightSets.from_models(models).weight
        array([[2, 9],
               [8, 6]])
        """
        parameters = _models.from_models(models, activation)
        return cls._own(parameters.named(feature_names, output_names, set_names))

    def write_to(self, model: Any, i: int = 0) -> None:
        """Write one set to a model, such as `from_models` takes.

        Parameters
        ----------
        model : object
            A fitted estimator of scikit-learn, a torch module, a Keras model or layer, or a list or
            mapping of arrays, of the structure and with the activations of the sets (which arrays
            do not have). Its weights are replaced.
        i : int, optional
            The set.

        Raises
        ------
        ValueError
            The model has another structure or other ``feature_names_in_``, computes something
            else than its layers say, or shares weights between networks that differ in the set.
        TypeError
            `i` is not one set; a tuple or an object of this class cannot be written to.
        IndexError
            There is no set `i`.

        See Also
        --------
        from_models : the other way.

        Examples
        --------
        >>> import multisubnet as ms
        >>> model = {"weight": [0.0, 0.0], "bias": [0.0, 0.0]}
        >>> ms.WeightSets([[2.0, 9.0]], [[7.0, 5.0]]).write_to(model)
        >>> model
        {'weight': array([2., 9.]), 'bias': array([7., 5.])}
        """
        one = self[validation.as_int(i) if validation.as_int(i) is not None else i]
        if len(one) != 1:
            raise TypeError(f"i is {i!r}; expected the number of one set")
        _models.write_model(model, one._parameters)

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
        """Make sets of networks with hidden layers.

        Parameters
        ----------
        layers, activation, output_activation, inputs, additive, intercept
            As for `mlp`. Arrays are copied; what all sets share is repeated for each.
        feature_names, set_names : iterable of str, optional
            As for `WeightSets`. With `inputs` there may be more features than networks see.
        output_names : iterable of str, optional
            The names of the P outputs of a network.

        Returns
        -------
        WeightSets
            `predict` gives what `mlp` does, of shape (N, B, S, P) or (N, B, P).

        Raises
        ------
        ValueError, IndexError, TypeError
            As for `mlp`.

        Examples
        --------
        Two sets of networks 1-2-1, for each of three features:

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
        """Return sets with copies of arrays, of which some may have 1 in place of N."""
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
        """Make sets of flat parameter vectors, as optimizers hand them over.

        Parameters
        ----------
        theta, axis
            As for `multisubnet.from_theta`. The parameters of networks are, layer by layer, all
            weights, of shape (S, inputs, outputs), and then all biases, of shape (S, outputs); the
            intercept, of shape (P,), comes last.
        n_features : int
            F. Networks do not need it.
        layer_sizes : sequence of int, optional
            Makes networks: the number of inputs, and of outputs of each layer. How many networks a
            set has follows from the length of the vectors.
        use_bias : bool, or sequence of bool, optional
            Whether there are biases; in networks perhaps for each layer.
        use_intercept : bool, optional
            Whether the vectors of additive networks end with an intercept.
        **options
            `activation`, `feature_names` and `set_names`, as for `WeightSets`; with `layer_sizes`,
            also `output_activation`, `inputs`, `additive` and `output_names`, with the defaults of
            `from_layers`.

        Returns
        -------
        WeightSets

        Raises
        ------
        ValueError, TypeError
            As for `multisubnet.from_theta` and `from_layers`; no number of networks has vectors of
            that length.

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets.from_theta([[2, 9, 7, 5]], 2).bias
        array([[7, 5]])

        A network 1-2-1 has 2 + 2 weights and 2 + 1 biases:

        >>> ms.WeightSets.from_theta([[1, -1, 0, 0, 2, 2, 5]], layer_sizes=(1, 2, 1)).layers[1][1]
        array([[[5]]])
        """
        if layer_sizes is None:
            if n_features is None:
                raise TypeError("n_features is missing; pass it, or layer_sizes for networks")
            weight, bias = _theta.from_theta(theta, n_features, use_bias=use_bias, axis=axis)
            return cls(weight, bias, **options)
        layers, intercept = _theta.to_layers(
            theta, layer_sizes, use_bias=use_bias, use_intercept=use_intercept, axis=axis
        )
        sets = cls.from_layers(layers, intercept=intercept, **options)
        if n_features is not None and sets.n_features != n_features:
            raise ValueError(
                f"theta has {sets.n_networks} networks of {sets.layer_sizes[0]} inputs, which see "
                f"{sets.n_features} features; expected {n_features}"
            )
        return sets

    def to_theta(self, *, axis: SetAxis = 0) -> ArrayT:
        """Return the sets as flat parameter vectors, a new array.

        Parameters
        ----------
        axis : {0, 1}, optional
            As for `multisubnet.to_theta`.

        Returns
        -------
        ndarray, shape (N, P) or (P, N)
            P is 2F, all weights first, then all biases; or F without biases. The parameters of
            networks are in the order that `from_theta` describes.

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets([[2, 9]], [[7, 5]]).to_theta()
        array([[2, 9, 7, 5]])
        """
        return _theta.joined(self._parameters.arrays, axis=axis)

    # In files.

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the sets to a file, which is there whole or not at all.

        Parameters
        ----------
        path : str or os.PathLike
            A name that ends in ``.npz``, which NumPy reads, too, or in ``.safetensors``. A file
            of that name is replaced.

        Raises
        ------
        ValueError
            The name ends in something else; the dtype is longdouble or complex128, which
            ``.safetensors`` files have not, or bfloat16, which ``.npz`` files have not.
        OSError
            The file cannot be written.

        See Also
        --------
        load : the inverse.

        Notes
        -----
        The file has the arrays ``weight``, and ``bias`` if there is one, bit for bit, in native
        byte order; and as plain data ``activation``, a JSON text, and ``format_version`` (as
        metadata in ``.safetensors``). Networks with layers have ``layers.0.weight``,
        ``layers.0.bias``, ``layers.0.activation`` and so on instead, ``additive``, and ``inputs``
        and ``intercept`` if there are any. ``feature_names``, ``output_names`` and ``set_names``,
        if there are any, are bytes (uint8): a list in JSON. Sets on the GPU are copied to the host
        for it.

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
            weight_files,  # JSON and zip take a while to import
        )

        parameters = self._parameters.changed(namespaces.on_host)
        arrays = parameters.arrays
        if parameters.inputs is not None:
            arrays["inputs"] = parameters.inputs
        arrays |= parameters.names.arrays
        stored = weight_files.StoredSets(arrays, parameters.activations, self.additive)
        weight_files.save(path, stored)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load sets from a file.

        Parameters
        ----------
        path : str or os.PathLike
            A ``.npz`` or ``.safetensors`` file that `save` wrote; or another one with an array
            ``weight`` of shape (N, F) and perhaps a ``bias``, which is linear. (Files of networks
            say which activations they have.)

        Returns
        -------
        WeightSets
            On the CPU.

        Raises
        ------
        ValueError
            The file is damaged, or has something else; the message names it.
        ImportError
            The file has bfloat16, and ml_dtypes is not installed.
        MemoryError
            The arrays do not fit in the memory that is available.
        OSError
            The file cannot be read.

        See Also
        --------
        save : the inverse.

        Notes
        -----
        Nothing that is in a file is executed (pickles are refused), and nothing is allocated that
        the file does not have.

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
            for name, array in arrays.items():  # one after the other: a copy at a time
                arrays[name] = _plain(path, array, (n_sets, *array.shape[1:]))
            return cls._of(Parameters.of_arrays(arrays, *model).named(*names))
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise ValueError(f"{path} has no sets of weights: {error}") from None


def _plain(path: Any, array: Any, shape: tuple[int, int]) -> Any:
    """Return an array that was read from a file as `copied` does, without a copy if it is so."""
    is_native = array.dtype is dtypes.native(array.dtype)
    is_native &= array.dtype.kind != "b"  # of which a byte may be 2
    if is_native and array.shape == shape and array.flags.c_contiguous:
        return array
    amounts.check_fits(path, math.prod(shape) * array.itemsize)
    return copied(array, shape)


def _model_of(
    arrays: dict[str, Any], activations: Sequence[Activation | None], additive: bool
) -> tuple[int, tuple[Any, ...]]:
    """Return N and what there is besides the arrays of a file, from which `inputs` is taken."""
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
