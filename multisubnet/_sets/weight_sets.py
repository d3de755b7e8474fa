"""N sets of weights of one model, as an object to predict with."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from multisubnet._arithmetic import activation as _activations
from multisubnet._arithmetic.activation import Activation
from multisubnet._arithmetic.float_mode import keeping_subnormals
from multisubnet._arrays import dtypes as _dtypes
from multisubnet._arrays import frameworks as _adapters
from multisubnet._arrays import joining, namespaces, validation
from multisubnet._backends import choice as _dispatch
from multisubnet._functions import pairs as _pairs
from multisubnet._functions import theta as _theta
from multisubnet._functions.affine import affine
from multisubnet._functions.mean_loss import mean_loss, mean_loss_and_grad
from multisubnet._memory import amounts as _memory
from multisubnet._sets import models as _models
from multisubnet._sets import prediction as _predict
from multisubnet._sets.distribution import PredictionStats, predict_stats

Progress = bool | Callable[[int, int], object]

_LARGEST_ITEM = 32  # bytes, of a dtype of numbers


class WeightSets:
    """N sets of weights of one model, whose subnetworks are a weight and a bias for each feature.

    The object is immutable, and as long as a sequence of N sets; an index gives sets again.

    Parameters
    ----------
    weight : array_like, shape (N, F) or (1, F)
        A weight for each set and feature; (1, F) is shared by all sets. It is copied.
    bias : array_like, shape (N, F) or (1, F), optional
        A bias for each set and feature. None adds nothing. It is copied.
    activation : str or Activation, optional
        The function applied to each sum, one of the names that `Activation` lists. None is
        ``"linear"``.

    Attributes
    ----------
    weight : ndarray, shape (N, F)
        The weights: C-contiguous, and read-only where it is a NumPy array (CuPy's cannot be).
    bias : ndarray, shape (N, F), or None
        The biases.
    activation : Activation
        The activation.
    n_sets, n_features : int
        N and F.
    dtype : numpy.dtype
        `numpy.result_type` of weight and bias.
    nbytes : int
        The size of weight and bias in bytes.
    device : str
        Where they are: ``"cpu"``, or ``"cuda:0"`` and so on.

    Raises
    ------
    ValueError
        The shapes differ, or are not of two dimensions; there is no activation of that name.
    TypeError
        A dtype is not bool, integer, float or complex; one is a CuPy array and the other is not;
        `activation` is not a name or an Activation.

    See Also
    --------
    affine : the function behind `predict`, on arrays.

    Notes
    -----
    Two objects are equal if their weights, biases and activations are, bit for bit, wherever they
    are. They can be pickled.

    Examples
    --------
    >>> import multisubnet as ms
    >>> w1 = [[2, 7], [9, 5]]  # a (weight, bias) pair for each feature
    >>> w2 = [[8, 6], [6, 3]]
    >>> sets = ms.WeightSets.from_pairs([w1, w2])
    >>> sets
    WeightSets(N=2, F=2, int64 with bias on cpu, 64 bytes)
    >>> sets.predict([[3, 7], [9, 4]])
    array([[[13, 68],
            [25, 41]],
    <BLANKLINE>
           [[30, 45],
            [78, 27]]])
    >>> sets[1].predict([[3, 7]], set_axis=1)
    array([[[30, 45]]])
    """

    __slots__ = ("_activation", "_bias", "_unchecked", "_weight")
    _weight: Any
    _bias: Any
    _unchecked: int  # with fewer samples times features no result is compared with memory
    _activation: Activation | None  # None: linear, which is what functions take fastest

    def __init__(
        self, weight: Any, bias: Any = None, activation: str | Activation | None = None
    ) -> None:
        _, weight, bias, shape = validation.read_parameters(weight, bias)
        self._set(
            _copied(weight, shape), None if bias is None else _copied(bias, shape), activation
        )

    @classmethod
    def _of(cls, weight: Any, bias: Any, activation: Any) -> WeightSets:
        """Return sets of contiguous arrays of shape (N, F) that nobody will write to."""
        return cls.__new__(cls)._set(weight, bias, activation)

    def _set(self, weight: Any, bias: Any, activation: Any) -> WeightSets:
        if activation is not None:
            activation, _ = _activations.applied(activation, np.dtype(np.float64))
        for array in (weight, bias):
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
        unchecked = _predict.UNCHECKED_BYTES // (_LARGEST_ITEM * max(len(weight), 1))
        values = activation, bias, unchecked, weight
        for name, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, name, value)
        return self

    def __setattr__(self, attribute: str, value: Any) -> None:
        raise AttributeError(f"WeightSets are immutable: {attribute} cannot be set")

    def __delattr__(self, attribute: str) -> None:
        raise AttributeError(f"WeightSets are immutable: {attribute} cannot be deleted")

    # What there is.

    @property
    def weight(self) -> Any:
        """The weights, of shape (N, F): C-contiguous, and read-only if a NumPy array."""
        return self._weight

    @property
    def bias(self) -> Any:
        """The biases, of shape (N, F), or None."""
        return self._bias

    @property
    def activation(self) -> Activation:
        """The activation."""
        return Activation("linear") if self._activation is None else self._activation

    @property
    def n_sets(self) -> int:
        """N, the number of sets."""
        return self._weight.shape[0]

    @property
    def n_features(self) -> int:
        """F, the number of features."""
        return self._weight.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """The dtype that weight and bias have in common."""
        return _dtypes.result_type(*(array.dtype for array in self._arrays()))

    @property
    def nbytes(self) -> int:
        """The size of weight and bias in bytes."""
        return sum(array.nbytes for array in self._arrays())

    @property
    def device(self) -> str:
        """Where weight and bias are: ``"cpu"``, or ``"cuda:0"`` and so on."""
        if namespaces.is_cupy(self._weight):
            return f"cuda:{self._weight.data.device_id}"
        return "cpu"

    def _arrays(self) -> list[Any]:
        return [self._weight] if self._bias is None else [self._weight, self._bias]

    def __repr__(self) -> str:
        bias = "" if self._bias is None else " with bias"
        activation = "" if self._activation is None else f", {self._activation!r}"
        return (
            f"WeightSets(N={self.n_sets}, F={self.n_features}, {self.dtype}{bias} on "
            f"{self.device}{activation}, {_memory.text(self.nbytes)})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WeightSets):
            return NotImplemented
        if self._activation != other._activation or (self._bias is None) != (other._bias is None):
            return False
        pairs = zip(self._arrays(), other._arrays(), strict=True)
        return all(_same_bits(one, another) for one, another in pairs)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return WeightSets, (self._weight, self._bias, self._activation)

    # Some of the sets, and more of them.

    def __len__(self) -> int:
        return self._weight.shape[0]

    def __getitem__(self, index: Any) -> WeightSets:
        """Return some sets: those of a slice, of an array of indices or bools, or a single one."""
        if isinstance(index, slice):
            chosen = index
        elif hasattr(index, "__index__") and np.ndim(index) == 0 and not isinstance(index, bool):
            number = operator.index(index)
            if not -len(self) <= number < len(self):
                raise IndexError(f"set {number} is out of bounds for {len(self)} sets")
            chosen = slice(number % len(self), number % len(self) + 1)
        else:
            # NumPy checks it: CuPy would take an index out of bounds for one within.
            index = namespaces.on_host(index)
            if isinstance(index, tuple) or np.ndim(index) != 1:
                raise TypeError(
                    f"sets are indexed by an integer, a slice, or an array of integers or bools of "
                    f"one dimension, not {index!r}"
                )
            xp = namespaces.namespace({"weight": self._weight})
            with namespaces.device_of(self._weight):
                chosen = xp.asarray(np.arange(len(self))[index])
        weight, bias = (
            None if array is None else _contiguous(array[chosen])
            for array in (self._weight, self._bias)
        )
        return self._of(weight, bias, self._activation)

    def __iter__(self) -> Iterator[WeightSets]:
        return (self[number] for number in range(len(self)))

    @classmethod
    def concatenate(cls, sequence: Iterable[WeightSets]) -> WeightSets:
        """Join sets of one model.

        Parameters
        ----------
        sequence : iterable of WeightSets
            With the same number of features and activation, all of them with biases or none.

        Returns
        -------
        WeightSets

        Raises
        ------
        ValueError
            The sets are of different models, or there are none.
        TypeError
            Something else is among them; some are on the GPU and others are not, or they are
            there and differ in dtype.

        Examples
        --------
        >>> import multisubnet as ms
        >>> one, two = ms.WeightSets([[1.0, 2.0]]), ms.WeightSets([[3.0, 4.0], [5.0, 6.0]])
        >>> ms.WeightSets.concatenate([one, two]).weight
        array([[1., 2.],
               [3., 4.],
               [5., 6.]])
        """
        members = list(sequence)
        if not members:
            raise ValueError("sequence is empty; expected at least one WeightSets")
        first = members[0]
        for number, sets in enumerate(members):
            if not isinstance(sets, WeightSets):
                raise TypeError(f"sequence[{number}] is a {type(sets).__name__}, not WeightSets")
            for what, one, other in (
                ("features", first.n_features, sets.n_features),
                ("activation", first.activation, sets.activation),
                ("biases", first._bias is not None, sets._bias is not None),
            ):
                if one != other:
                    raise ValueError(
                        f"sequence[{number}] is of another model than sequence[0]: {what} are "
                        f"{other} and {one}"
                    )
        weights = {f"sequence[{i}].weight": sets._weight for i, sets in enumerate(members)}
        biases = {f"sequence[{i}].bias": sets._bias for i, sets in enumerate(members)}
        weight = joining.joined(weights, "concatenate", axis=0)
        bias = None if first._bias is None else joining.joined(biases, "concatenate", axis=0)
        return cls._of(weight, bias, first._activation)

    # From other forms, and to them.

    @classmethod
    def from_pairs(cls, pairs: Any, activation: str | Activation | None = None) -> WeightSets:
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
        return cls._of(*_pairs.unpacked(pairs), activation)

    def to_pairs(self) -> Any:
        """Return the sets as (weight, bias) pairs, a new array of shape (N, F, 2).

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets([[2, 9]], [[7, 5]]).to_pairs()
        array([[[2, 7],
                [9, 5]]])
        """
        return _pairs.to_pairs(self._weight, self._bias)

    @classmethod
    def from_theta(
        cls,
        theta: Any,
        n_features: int,
        *,
        use_bias: bool = True,
        axis: int = 0,
        activation: str | Activation | None = None,
    ) -> WeightSets:
        """Make sets of flat parameter vectors, as optimizers hand them over.

        Parameters
        ----------
        theta, n_features, use_bias, axis
            As for `multisubnet.from_theta`.
        activation : str or Activation, optional
            The activation.

        Returns
        -------
        WeightSets

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets.from_theta([[2, 9, 7, 5]], 2).bias
        array([[7, 5]])
        """
        weight, bias = _theta.from_theta(theta, n_features, use_bias=use_bias, axis=axis)
        return cls(weight, bias, activation)

    def to_theta(self, *, axis: int = 0) -> Any:
        """Return the sets as flat parameter vectors, a new array.

        Parameters
        ----------
        axis : {0, 1}, optional
            As for `multisubnet.to_theta`.

        Returns
        -------
        ndarray, shape (N, P) or (P, N)
            P is 2F, all weights first, then all biases; or F without biases.

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets([[2, 9]], [[7, 5]]).to_theta()
        array([[2, 9, 7, 5]])
        """
        theta = _theta.to_theta(self._weight, self._bias, axis=axis)
        return theta.copy() if self._bias is None else theta

    @classmethod
    def from_models(
        cls, models: Iterable[Any], activation: str | Activation | None = None
    ) -> WeightSets:
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
            - `WeightSets`, or what has a method ``to_weight_sets``: all of its sets are added.
        activation : str or Activation, optional
            The activation of all models, where they have none that can be seen. That of a Keras
            layer can, and is carried over.

        Returns
        -------
        WeightSets
            With arrays on the CPU, unless those of tuples, mappings and `WeightSets` are CuPy's.
            bfloat16 becomes float32.

        Raises
        ------
        ValueError
            A model has another structure, or computes something else than its weights say; two
            differ in features, activation, or in whether they have biases; one has another
            activation than is given; there are no models.
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
        torch modules are therefore called on three samples (a copy in evaluation mode, if a module
        is in training), and refused where the outputs are not those of such sets. Tuples, mappings
        and estimators are taken at their word.

        Examples
        --------
        >>> import multisubnet as ms
        >>> models = [([2, 9], [7, 5]), {"weight": [8, 6], "bias": [6, 3]}]
        >>> ms.WeightSets.from_models(models).weight
        array([[2, 9],
               [8, 6]])
        """
        return cls(*_models.from_models(models, activation))

    def to(self, target: str) -> WeightSets:
        """Return the sets as arrays of another library.

        Parameters
        ----------
        target : {"numpy", "cupy"}
            Where to: the CPU, or the current CUDA device.

        Returns
        -------
        WeightSets

        Raises
        ------
        ValueError
            It is neither.
        BackendUnavailable
            CuPy cannot be used here; the message says what is missing.

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets([[1.0, 2.0]]).to("numpy").device
        'cpu'
        """
        if target not in ("numpy", "cupy"):
            raise ValueError(f"target must be 'numpy' or 'cupy', not {target!r}")
        _dispatch.load(target)
        if target == "numpy":
            arrays = [namespaces.on_host(array) for array in self._arrays()]
        else:
            import cupy

            arrays = [cupy.asarray(array) for array in self._arrays()]
        weight, bias = arrays if len(arrays) == 2 else (arrays[0], None)
        return self._of(weight, bias, self._activation)

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
        metadata in ``.safetensors``). Sets on the GPU are copied to the host for it.

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
            weight_files as _weight_files,  # JSON and zip take a while to import
        )

        weight, *bias = (namespaces.on_host(array) for array in self._arrays())
        _weight_files.save(path, weight, bias[0] if bias else None, self.activation)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> WeightSets:
        """Load sets from a file.

        Parameters
        ----------
        path : str or os.PathLike
            A ``.npz`` or ``.safetensors`` file that `save` wrote; or another one with an array
            ``weight`` of shape (N, F) and perhaps a ``bias``, which is linear.

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
        from multisubnet._files import weight_files as _weight_files

        weight, bias, activation = _weight_files.load(path)
        try:
            return cls(weight, bias, activation)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} has no sets of weights: {error}") from None

    # What they predict.

    def predict(
        self,
        samples: Any,
        *,
        set_axis: int = 0,
        out: Any = None,
        memory_limit: int | str | None = None,
        progress: Progress = False,
    ) -> Any:
        """Predict with all sets.

        Parameters
        ----------
        samples : array_like, shape (B, F) or (N, B, F)
            B samples of F features, shared by all sets; or a block of samples for each set.
        set_axis : {0, 1}, optional
            Where N stands in the shape of the result: 0 gives (N, B, F), 1 gives (B, N, F).
        out : ndarray or object with slice assignment, optional
            Where to write the result: an array as for `affine`; a `numpy.memmap`, which is flushed
            and released chunk by chunk, since its pages are memory in use; a Zarr array, an HDF5
            dataset, or anything else that takes ``out[slice, slice] = block`` with NumPy blocks,
            for sets on the GPU, too.
        memory_limit : int or str, optional
            How many bytes, or a text like ``"2 GiB"``, the result (unless it is `out`) and all
            that is needed to compute it may take together, besides the operands. By default, what
            is computed for a memmap or an object is held to 256 MiB at a time.
        progress : bool or callable, optional
            Whether to show a bar, with tqdm; or what is to be called with (done, total), in sets.

        Returns
        -------
        ndarray, shape (N, B, F) or (B, N, F)
            `out` where it was given, else a new array, as from `affine`.

        Raises
        ------
        MemoryError
            The result would have more bytes than `memory_limit`, or, without one, than are
            available (which is looked at from 64 MiB on). Nothing has been allocated.
        ValueError, TypeError, BackendUnavailable
            As for `affine`; `memory_limit` is not a number of bytes, or is too small for a row.
        ImportError
            A bar is asked for, and tqdm is not installed.

        See Also
        --------
        predict_chunks : block by block, for results that nobody needs whole.

        Notes
        -----
        The result has the same bits whatever the chunks are, which lie whole in it.

        Examples
        --------
        >>> import multisubnet as ms
        >>> sets = ms.WeightSets([[2.0], [3.0]], [[1.0], [0.0]])
        >>> sets.predict([[1.0], [2.0]], set_axis=1)
        array([[[3.],
                [3.]],
        <BLANKLINE>
               [[5.],
                [6.]]])
        >>> sets.predict([[1.0]] * 3, progress=lambda done, total: print(done, "of", total)).shape
        2 of 2
        (2, 3, 1)
        """
        if (
            out is None
            and memory_limit is None
            and not progress
            and type(samples) is np.ndarray
            and samples.size < self._unchecked
        ):
            return affine(
                samples, self._weight, self._bias, activation=self._activation, set_axis=set_axis
            )
        adapter = _adapters.of((samples, out))
        if adapter is not None:
            if memory_limit is not None or progress:
                raise TypeError(
                    f"memory_limit and progress are for NumPy and CuPy arrays, and samples or out "
                    f"is one of {adapter}"
                )
            return affine(
                samples,
                self._weight,
                self._bias,
                activation=self._activation,
                set_axis=set_axis,
                out=out,
            )
        prediction = self._prediction(samples, set_axis)
        if out is None:
            return prediction.whole(memory_limit, progress)
        prediction.into(out, memory_limit, progress)
        return out

    def predict_chunks(
        self,
        samples: Any,
        *,
        set_axis: int = 0,
        memory_limit: int | str | None = None,
        progress: Progress = False,
    ) -> Iterator[tuple[slice, slice, Any]]:
        """Predict with all sets, block by block.

        Parameters
        ----------
        samples, set_axis, progress
            As for `predict`.
        memory_limit : int or str, optional
            How many bytes, or a text like ``"2 GiB"``, the block that is being computed and that
            before it, which the caller may still hold, may take together; 256 MiB by default.

        Yields
        ------
        sets, samples : slice
            Which sets and which samples the block is of.
        block : ndarray, shape (n, b, F) or (b, n, F)
            A new array: that part of what `predict` returns.

        Raises
        ------
        ValueError, TypeError, BackendUnavailable, ImportError
            As for `predict`.

        Examples
        --------
        >>> import multisubnet as ms
        >>> sets = ms.WeightSets([[2.0], [3.0]], [[1.0], [0.0]])
        >>> for which, of, block in sets.predict_chunks([[1.0], [2.0]], memory_limit="500 B"):
        ...     print(which, of, block.tolist())
        slice(0, 1, None) slice(0, 2, None) [[[3.0], [5.0]]]
        slice(1, 2, None) slice(0, 2, None) [[[3.0], [6.0]]]
        """
        self._check_arrays("predict_chunks", samples)
        return self._prediction(samples, set_axis).blocks(memory_limit, progress)

    def predict_stats(
        self,
        samples: Any,
        *,
        quantiles: float | Iterable[float] = (),
        memory_limit: int | str | None = None,
        progress: Progress = False,
    ) -> PredictionStats:
        """Predict the distribution over all sets: mean, spread, extremes and quantiles.

        Parameters
        ----------
        samples
            As for `predict`.
        quantiles : iterable of float, optional
            Levels from 0 to 1. A quantile is linear between two predictions, as `numpy.quantile`'s
            is by default.
        memory_limit : int or str, optional
            How many bytes, or a text like ``"2 GiB"``, the predictions that are there at once may
            take, besides the results and what `affine_stats` takes; 192 MiB by default.
        progress : bool or callable, optional
            Whether to show a bar, with tqdm; or what is to be called with (done, total), in
            samples.

        Returns
        -------
        PredictionStats
            A named tuple of `mean`, `std`, `min` and `max`, of shape (B, F), and `quantiles`, of
            shape (Q, B, F): arrays of float64, NaN where there is no set or a prediction is NaN.

        Raises
        ------
        ValueError
            An operand has the wrong shape; a level is not from 0 to 1; `memory_limit` is too small.
        TypeError, BackendUnavailable, ImportError
            As for `affine_stats` and `predict`.

        See Also
        --------
        affine_stats : mean and spread alone, with weights of sets.

        Notes
        -----
        The results have the same bits on every backend. Predictions are of the working dtype that
        `mean_loss` describes. Of zeros among extremes and quantiles the sign is lost. On the GPU
        predictions are computed, and put in order on the host.

        Examples
        --------
        >>> import multisubnet as ms
        >>> sets = ms.WeightSets([[1.0], [2.0], [6.0]])
        >>> stats = sets.predict_stats([[1.0], [10.0]], quantiles=[0.5])
        >>> stats.mean
        array([[ 3.],
               [30.]])
        >>> stats.max
        array([[ 6.],
               [60.]])
        >>> stats.quantiles
        array([[[ 2.],
                [20.]]])
        """
        self._check_arrays("predict_stats", samples)
        return predict_stats(
            samples, self._weight, self._bias, self._activation, quantiles, memory_limit, progress
        )

    def _prediction(self, samples: Any, set_axis: Any) -> _predict.Prediction:
        return _predict.Prediction.of(samples, self._weight, self._bias, self._activation, set_axis)

    @staticmethod
    def _check_arrays(name: str, samples: Any) -> None:
        adapter = _adapters.of((samples,))
        if adapter is not None:
            raise TypeError(f"{name} takes NumPy and CuPy arrays, and samples is one of {adapter}")

    # How good they are.

    def mean_loss(
        self,
        samples: Any,
        targets: Any,
        *,
        loss: str = "squared_error",
        sample_weight: Any = None,
        per_feature: bool = False,
        dtype: Any = None,
    ) -> Any:
        """Judge all sets: the mean loss of each; lower is better.

        Parameters
        ----------
        samples, targets, loss, sample_weight, per_feature, dtype
            As for `multisubnet.mean_loss`.

        Returns
        -------
        ndarray, shape (N,) or (N, F)

        Examples
        --------
        >>> import multisubnet as ms
        >>> ms.WeightSets([[2.0], [3.0]]).mean_loss([[1.0], [2.0]], [2.0, 4.0])
        array([0. , 2.5])
        """
        return mean_loss(
            samples,
            self._weight,
            self._bias,
            targets,
            loss=loss,
            activation=self._activation,
            sample_weight=sample_weight,
            per_feature=per_feature,
            dtype=dtype,
        )

    def mean_loss_and_grad(
        self,
        samples: Any,
        targets: Any,
        *,
        loss: str = "squared_error",
        sample_weight: Any = None,
        per_feature: bool = False,
        dtype: Any = None,
    ) -> tuple[Any, Any, Any]:
        """Judge all sets, with the gradients of their losses.

        Parameters
        ----------
        samples, targets, loss, sample_weight, per_feature, dtype
            As for `multisubnet.mean_loss_and_grad`.

        Returns
        -------
        loss : ndarray, shape (N,) or (N, F)
        grad_weight, grad_bias : ndarray, shape (N, F)
            `grad_bias` is None where there are no biases.

        Examples
        --------
        >>> import multisubnet as ms
        >>> loss, grad_weight, _ = ms.WeightSets([[3.0]]).mean_loss_and_grad([[1.0], [2.0]], [2, 4])
        >>> grad_weight
        array([[5.]])
        """
        return mean_loss_and_grad(
            samples,
            self._weight,
            self._bias,
            targets,
            loss=loss,
            activation=self._activation,
            sample_weight=sample_weight,
            per_feature=per_feature,
            dtype=dtype,
        )

    def best(
        self,
        k: int,
        samples: Any,
        targets: Any,
        *,
        loss: str = "squared_error",
        sample_weight: Any = None,
        per_feature: bool = False,
    ) -> tuple[WeightSets, Any]:
        """Find the sets of lowest loss, best first.

        Parameters
        ----------
        k : int
            How many, from 1 to N.
        samples, targets, loss, sample_weight
            As for `multisubnet.mean_loss`.
        per_feature : bool, optional
            Whether to judge each feature's subnetwork by itself, and to put sets together from
            them, which can be done since they are separate: the first set has the best subnetwork
            of each feature, the second the second best, and so on.

        Returns
        -------
        sets : WeightSets
            k sets.
        losses : ndarray, shape (k,) or (k, F)
            Their losses, NumPy or CuPy arrays. Ties are in the order of their index, and NaN come
            last.

        Raises
        ------
        ValueError
            `k` is not an integer from 1 to N; as for `multisubnet.mean_loss`.
        TypeError, BackendUnavailable
            As for `multisubnet.mean_loss`.

        Notes
        -----
        Losses of sets on the GPU are put in order on the host, which waits for them.

        Examples
        --------
        >>> import multisubnet as ms
        >>> sets = ms.WeightSets([[1.0, 5.0], [2.0, 3.0], [4.0, 4.0]])
        >>> samples, targets = [[1.0, 1.0], [2.0, 2.0]], [[2.0, 4.0], [4.0, 8.0]]
        >>> best, losses = sets.best(1, samples, targets)
        >>> best.weight, losses
        (array([[2., 3.]]), array([1.25]))
        >>> best, losses = sets.best(1, samples, targets, per_feature=True)
        >>> best.weight, losses
        (array([[2., 4.]]), array([[0., 0.]]))
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= len(self):
            raise ValueError(f"k must be an integer from 1 to {len(self)}, not {k!r}")
        losses = self.mean_loss(
            samples, targets, loss=loss, sample_weight=sample_weight, per_feature=per_feature
        )
        if _adapters.of([losses]) is not None:
            losses = np.asarray(losses)  # Dask's are computed now
        order = np.argsort(namespaces.on_host(losses), axis=0, kind="stable")[:k]
        xp = namespaces.namespace({"losses": losses})
        with namespaces.device_of(losses):
            order = xp.asarray(order)
            if not per_feature:
                return self[order], losses[order]
            weight, bias, lowest = (
                None if array is None else xp.take_along_axis(array, order, axis=0)
                for array in (self._weight, self._bias, losses)
            )
            return self._of(weight, bias, self._activation), lowest


@keeping_subnormals
def _copied(array: Any, shape: tuple[int, int]) -> Any:
    """Return a new C-contiguous array of this shape, in native byte order."""
    xp = namespaces.namespace({"array": array})
    with namespaces.device_of(array):
        copy = xp.empty(shape, _dtypes.native(array.dtype))
        copy[...] = array
    return copy


def _contiguous(array: Any) -> Any:
    """Return an array as a C-contiguous one."""
    with namespaces.device_of(array):
        return namespaces.namespace({"array": array}).ascontiguousarray(array)


def _same_bits(one: Any, other: Any) -> bool:
    """Whether two arrays have the same dtype, shape and bits."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return namespaces.on_host(one).tobytes() == namespaces.on_host(other).tobytes()
