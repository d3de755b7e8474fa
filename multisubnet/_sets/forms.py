"""Sets of weights in other forms: layers, pairs, flat vectors, files."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, overload

from multisubnet._arithmetic.activation import Activation
from multisubnet._arrays import dtypes, namespaces, validation
from multisubnet._arrays.types import ArrayT, SetAxis
from multisubnet._functions import pairs as _pairs
from multisubnet._functions import theta as _theta
from multisubnet._memory import amounts
from multisubnet._sets.container import Container, copied
from multisubnet._sets.parameters import Parameters, resolve

if TYPE_CHECKING:
    from multisubnet._arithmetic.activation import ActivationLike


class Forms(Container[ArrayT]):
    """What `WeightSets` are made of, and into what: see there."""

    __slots__ = ()

    @classmethod
    def from_pairs(cls, pairs: Any, activation: ActivationLike | None = None) -> Self:
        """Make sets of (weight, bias) pairs.

        Parameters
        ----------
        pairs : array_like, shape (N, F, 2)
            As for `multisubnet.from_pairs`.
        activation : str or Activation, optional
            The activation.

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
        sets = cls._of(Parameters(((weight, bias),), (None,)))
        return sets if activation is None else sets._activated(activation)

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
    ) -> Self:
        """Make sets of networks with hidden layers.

        Parameters
        ----------
        layers, activation, output_activation, inputs, additive, intercept
            As for `mlp`. Arrays are copied; what all sets share is repeated for each.

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
        return cls._own(parameters._replace(inputs=inputs), n_sets)

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
            `activation`, as for `WeightSets`; with `layer_sizes`, also `output_activation`,
            `inputs` and `additive`, with the defaults of `from_layers`.

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
                raise TypeError("n_features is missing; expected it, or layer_sizes of networks")
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
        and ``intercept`` if there are any. Sets on the GPU are copied to the host for it.

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
            n_sets, model = _model_of(arrays, activations, additive)
            for name, array in arrays.items():  # one after the other: a copy at a time
                arrays[name] = _plain(path, array, (n_sets, *array.shape[1:]))
            return cls._of(Parameters.of_arrays(arrays, *model))
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
