"""N weight sets of one model, as an object that predicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, Never, TypeVar, overload

import numpy as np

from multisubnet._arrays import frameworks, namespaces, validation
from multisubnet._arrays.explanations import shown
from multisubnet._arrays.types import ArrayT, SetAxis
from multisubnet._functions.affine import affine
from multisubnet._functions.calls import explained, hide_misplaced, warn, wrong_call
from multisubnet._sets.distribution import PredictionStats, predict_stats
from multisubnet._sets.losses import Losses
from multisubnet._sets.prediction import Prediction

if TYPE_CHECKING:
    from multisubnet._functions.mlp_mean_loss import MlpLossName

_OutT = TypeVar("_OutT")
Progress = bool | Callable[[int, int], object]
CAUSES_OF_NAN = (
    "look for NaN in samples, targets or weights, for overflow, for an empty array of samples, and "
    "for sample weights that are all 0"
)
_WEIGHTED = (
    "affine_stats and mlp_stats take set_weight, for mean and spread; for quantiles, repeat sets: "
    "sets[numpy.repeat(numpy.arange(len(sets)), counts)]"
)


class WeightSets(Losses[ArrayT]):
    """N sets of weights of one model, with predictions, losses and conversions.

    By default the model is one weight and one bias per feature, as in `affine`. `from_layers`
    creates sets of networks with hidden layers, which predict as `mlp` does.

    The object is immutable and behaves as a sequence of N sets; indexing returns `WeightSets`.

    Parameters
    ----------
    weight : array_like, shape (N, F) or (1, F)
        One weight per set and feature; (1, F) is shared by all sets. It is copied. The columns of
        a pandas or polars frame become the `feature_names`.
    bias : array_like, shape (N, F) or (1, F), optional
        One bias per set and feature. None adds nothing. It is copied.
    activation : str or Activation, optional
        The function applied to each sum, by one of the names that `Activation` lists or as an
        Activation. None is ``"linear"``.
    feature_names : iterable of str, optional
        One name per feature. If samples are a pandas or polars frame, its columns must have these
        names, in this order. So must the columns of frames of weights, biases and targets, unless
        they share no name with the expected ones.
    set_names : iterable of str, optional
        One name per set. The index of a frame gives none: pass ``set_names=frame.index``.

    Attributes
    ----------
    weight : ndarray, shape (N, F)
        The weights: C-contiguous, and read-only if they are a NumPy array (CuPy arrays cannot be).
        Networks with layers do not have this attribute.
    bias : ndarray, shape (N, F), or None
        The biases.
    layers : tuple of (weight, bias)
        The layers as `mlp` takes them: weights of shape (N, S, inputs, outputs), biases of shape
        (N, S, outputs) or None. Sets of one weight and one bias per feature appear as F networks
        of one layer.
    layer_sizes : tuple of int
        The number of inputs of a network, then the number of outputs of each layer.
    activation : Activation
        The activation; for networks, the one of the hidden layers, or a tuple with one per hidden
        layer if they differ.
    output_activation : Activation
        The activation of the last layer.
    inputs : ndarray of int64, shape (S, d), or None
        The features that each network sees, if given.
    additive : bool
        Whether predictions are sums over networks.
    intercept : ndarray, shape (N, P), or None
        The initial values of these sums.
    feature_names, output_names, set_names : tuple of str, or None
        The names of F features, of P outputs of networks, and of N sets. Indexing, `concatenate`
        and files keep them.
    n_sets, n_networks, n_features : int
        N, S and F. With `inputs`, samples may have more than F features.
    dtype : numpy.dtype
        `numpy.result_type` of all arrays.
    nbytes : int
        The size of all arrays in bytes.
    device : str
        The device of the arrays: ``"cpu"``, ``"cuda:0"`` and so on.

    Raises
    ------
    ValueError
        The shapes differ, or are not two-dimensional; the activation is unknown.
    TypeError
        A dtype is not bool, integer, float or complex; a CuPy array is mixed with a NumPy array;
        `activation` is neither a name nor an Activation.

    See Also
    --------
    affine, mlp : the functions behind `predict`, on arrays.

    Notes
    -----
    Two objects are equal if their models, names and arrays are equal bit for bit, on any device.
    They can be pickled.

    Examples
    --------
    >>> import multisubnet as ms
    >>> w1 = [[2, 7], [9, 5]]  # one (weight, bias) pair per feature
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

    __slots__ = ()

    # Predictions.

    @overload
    def predict(
        self,
        samples: Any,
        *,
        set_axis: SetAxis = ...,
        out: None = ...,
        memory_limit: int | str | None = ...,
        progress: Progress = ...,
    ) -> ArrayT: ...
    @overload
    def predict(
        self,
        samples: Any,
        *,
        set_axis: SetAxis = ...,
        out: _OutT,
        memory_limit: int | str | None = ...,
        progress: Progress = ...,
    ) -> _OutT: ...
    @hide_misplaced
    def predict(
        self,
        samples: Any,
        *_misplaced: Never,
        set_axis: SetAxis = 0,
        out: Any = None,
        memory_limit: int | str | None = None,
        progress: Progress = False,
        **_unknown: Never,
    ) -> Any:
        """Predict with all sets.

        Parameters
        ----------
        samples : array_like, shape (B, F) or (N, B, F)
            B samples of F features, shared by all sets; or a separate block of samples per set. Or
            a pandas or polars frame; if its columns and the features both have names, they must
            agree, in the same order.
        set_axis : {0, 1}, optional
            The axis of the result that runs over sets: 0 gives (N, B, F), 1 gives (B, N, F).
        out : ndarray or object with slice assignment, optional
            The destination of the result: an array as for `affine`; a `numpy.memmap`, which is
            flushed and released chunk by chunk to keep its pages out of memory; a Zarr array, an
            HDF5 dataset, or any object that supports ``out[slice, slice] = block``. Such an object
            receives NumPy blocks, even if the sets are on the GPU.
        memory_limit : int or str, optional
            The memory for the result (unless it goes to `out`) and its computation together,
            without the operands: a number of bytes, or a text like ``"2 GiB"``. By default, a
            result for a memmap or an object is computed in chunks of 256 MiB.
        progress : bool or callable, optional
            Show a progress bar (needs tqdm), or call a function with (done, total), counted in
            sets.

        Returns
        -------
        ndarray, shape (N, B, F) or (B, N, F)
            `out` if given, otherwise a new array, as from `affine`. Networks with layers give the
            shape of `mlp`: (N, B, S, P), or (N, B, P) if additive; with ``set_axis=1``, N comes
            second.

        Raises
        ------
        MemoryError
            The result is larger than `memory_limit` or, without one, than the available memory
            (checked from 64 MiB on). Nothing has been allocated.
        ValueError, TypeError, BackendUnavailable
            As for `affine`; `memory_limit` is not a number of bytes, or is too small for one row.
        ImportError
            A progress bar is requested, but tqdm is not installed.

        See Also
        --------
        predict_chunks : yields blocks, for results that are not needed as a whole.

        Notes
        -----
        The result has the same bits for any chunk size. Chunks are contiguous in the result.

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
        if _misplaced or _unknown:
            given = self, samples, *_misplaced
            raise wrong_call("WeightSets.predict", WeightSets.predict, given, _unknown) or TypeError
        if (
            out is None
            and memory_limit is None
            and not progress
            and type(samples) is np.ndarray
            and samples.size < self._skips_memory_check_below
            and samples.shape[-1:] == self._parameters.layers[0][0].shape[1:]
        ):
            parameters = self._parameters
            ((weight, bias),), (activation,) = parameters[:2]
            return affine(samples, weight, bias, activation=activation, set_axis=set_axis)
        samples = self._parameters.values(samples)
        adapter = frameworks.of((samples, out))
        if adapter is not None:
            if memory_limit is not None or progress:
                raise TypeError(
                    f"memory_limit and progress work with NumPy and CuPy arrays, but samples or "
                    f"out is an array of another library ({adapter})"
                )
            return self._parameters.predict(samples, set_axis, out)
        prediction = self._prediction(samples, set_axis)
        if out is None:
            return prediction.whole(memory_limit, progress)
        prediction.into(out, memory_limit, progress)
        return out

    @explained("WeightSets.predict_chunks")
    def predict_chunks(
        self,
        samples: Any,
        *,
        set_axis: SetAxis = 0,
        memory_limit: int | str | None = None,
        progress: Progress = False,
    ) -> Iterator[tuple[slice, slice, ArrayT]]:
        """Predict with all sets, block by block.

        Parameters
        ----------
        samples, set_axis, progress
            As for `predict`.
        memory_limit : int or str, optional
            The memory for two blocks together: the one being computed and the previous one, which
            the caller may still hold. A number of bytes, or a text like ``"2 GiB"``; 256 MiB by
            default.

        Yields
        ------
        sets, samples : slice
            The sets and the samples of the block.
        block : ndarray, shape (n, b, ...) or (b, n, ...)
            A new array: this part of the result of `predict`.

        Raises
        ------
        ValueError, TypeError, BackendUnavailable, ImportError
            As for `predict`.

        Examples
        --------
        >>> import multisubnet as ms
        >>> sets = ms.WeightSets([[2.0], [3.0]], [[1.0], [0.0]])
        >>> for chosen, rows, block in sets.predict_chunks([[1.0], [2.0]], memory_limit="500 B"):
        ...     print(chosen, rows, block.tolist())
        slice(0, 1, None) slice(0, 2, None) [[[3.0], [5.0]]]
        slice(1, 2, None) slice(0, 2, None) [[[3.0], [6.0]]]
        """
        samples = self._parameters.values(samples)
        self._check_arrays("predict_chunks", samples)
        return self._prediction(samples, set_axis).blocks(memory_limit, progress)

    @explained("WeightSets.predict_stats", set_weight=_WEIGHTED, weights=_WEIGHTED)
    def predict_stats(
        self,
        samples: Any,
        *,
        quantiles: float | Iterable[float] = (),
        memory_limit: int | str | None = None,
        progress: Progress = False,
    ) -> PredictionStats[ArrayT]:
        """Compute mean, spread, extremes and quantiles of the predictions over all sets.

        Parameters
        ----------
        samples
            As for `predict`.
        quantiles : iterable of float, optional
            Levels from 0 to 1. Quantiles are interpolated linearly between two predictions, the
            default of `numpy.quantile`.
        memory_limit : int or str, optional
            The most memory for predictions held at a time, in addition to the results: a number of
            bytes, or a text like ``"2 GiB"``; 192 MiB by default. A CPU uses less if it can, so
            that its caches hold the predictions.
        progress : bool or callable, optional
            Show a progress bar (needs tqdm), or call a function with (done, total), counted in
            samples.

        Returns
        -------
        PredictionStats
            A named tuple of `mean`, `std`, `min` and `max`, of shape (B, F), and `quantiles`, of
            shape (Q, B, F): float64 arrays, NaN if there are no sets or a prediction is NaN.
            Networks with layers have (S, P) in place of F, or P if additive. `std` divides by N,
            as `numpy.std` does; times ``sqrt(N / (N - 1))`` it is that of ``ddof=1``.

        Raises
        ------
        ValueError
            An operand has the wrong shape; a level is outside [0, 1]; `memory_limit` is too small.
        TypeError, BackendUnavailable, ImportError
            As for `affine_stats` and `predict`.

        See Also
        --------
        affine_stats : mean and spread only, with set weights.

        Notes
        -----
        The results have the same bits on every backend. Predictions are in the working dtype that
        `mean_loss` describes. Extremes and quantiles that are 0 are always +0.0. For sets on the
        GPU, predictions are computed there and sorted on the host.

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
        samples = self._parameters.values(samples)
        self._check_arrays("predict_stats", samples)
        return predict_stats(samples, self._parameters, quantiles, memory_limit, progress)

    def _prediction(self, samples: Any, set_axis: Any) -> Prediction:
        return Prediction.of(samples, self._parameters, set_axis)

    @staticmethod
    def _check_arrays(name: str, samples: Any) -> None:
        adapter = frameworks.of((samples,))
        if adapter is not None:
            raise TypeError(
                f"{name} takes NumPy and CuPy arrays, but samples is an array of another library "
                f"({adapter})"
            )

    # The best sets.

    @overload
    def best(
        self,
        k: int,
        samples: Any,
        targets: Any,
        *,
        loss: MlpLossName = ...,
        sample_weight: Any = ...,
        per_feature: bool = ...,
        return_index: Literal[False] = ...,
    ) -> tuple[WeightSets[ArrayT], ArrayT]: ...
    @overload
    def best(
        self,
        k: int,
        samples: Any,
        targets: Any,
        *,
        loss: MlpLossName = ...,
        sample_weight: Any = ...,
        per_feature: bool = ...,
        return_index: Literal[True],
    ) -> tuple[WeightSets[ArrayT], ArrayT, ArrayT]: ...
    @explained("WeightSets.best")
    def best(
        self,
        k: int,
        samples: Any,
        targets: Any,
        *,
        loss: MlpLossName = "squared_error",
        sample_weight: Any = None,
        per_feature: bool = False,
        return_index: bool = False,
    ) -> Any:
        """Find the k sets with the lowest losses, best first.

        Parameters
        ----------
        k : int
            The number of sets, from 1 to N.
        samples, targets, loss, sample_weight
            As for `mean_loss`.
        per_feature : bool, optional
            Rank the subnetwork of each feature, or each network, separately, and combine the
            winners into new sets: the first set has the best subnetwork of each feature, the second
            set the second best, and so on. This works because the subnetworks are independent.
        return_index : bool, optional
            Also return the indices of the sets.

        Returns
        -------
        sets : WeightSets
            k sets.
        losses : ndarray, shape (k,), (k, F) or (k, S)
            Their losses, as a NumPy or CuPy array. Ties are ordered by index, and NaNs come last.
        index : ndarray of int64, of the shape of `losses`
            The indices of the sets, or of the sets that the subnetworks come from. Only with
            `return_index`.

        Raises
        ------
        ValueError
            `k` is not an integer from 1 to N; and as for `mean_loss`.
        TypeError, BackendUnavailable
            As for `mean_loss`.

        Warns
        -----
        RuntimeWarning
            All losses are NaN (with `per_feature`, all losses of a feature or network), so their
            order means nothing.
        UserWarning
            As for `mean_loss`: the loss does not fit the targets or the output activation.

        Notes
        -----
        Losses of sets on the GPU are sorted on the host, which waits for them.

        Examples
        --------
        >>> import multisubnet as ms
        >>> sets = ms.WeightSets([[1.0, 5.0], [2.0, 3.0], [4.0, 4.0]])
        >>> samples, targets = [[1.0, 1.0], [2.0, 2.0]], [[2.0, 4.0], [4.0, 8.0]]
        >>> best, losses = sets.best(1, samples, targets)
        >>> best.weight, losses
        (array([[2., 3.]]), array([1.25]))
        >>> best, losses, index = sets.best(
        ...     1, samples, targets, per_feature=True, return_index=True
        ... )
        >>> best.weight, losses, index
        (array([[2., 4.]]), array([[0., 0.]]), array([[1, 2]]))
        """
        n_best = validation.as_int(k)
        if n_best is None or not 1 <= n_best <= len(self):
            raise ValueError(f"k must be an integer from 1 to {len(self)}, not {shown(k)}")
        return_index = validation.flag("return_index", return_index)
        losses: Any = self.mean_loss(
            samples, targets, loss=loss, sample_weight=sample_weight, per_feature=per_feature
        )
        if frameworks.of([losses]) is not None:
            # This computes Dask's losses. Tensors may carry gradients, which sets do not have.
            losses = np.asarray(losses.detach() if hasattr(losses, "detach") else losses)
        on_host = namespaces.on_host(losses)
        order = np.argsort(on_host, axis=0, kind="stable")[:n_best]
        if np.isnan(np.take_along_axis(on_host, order[:1], axis=0)).any():
            warn(f"the lowest loss is NaN: {CAUSES_OF_NAN}", RuntimeWarning)
        xp = namespaces.namespace({"losses": losses})
        with namespaces.device_of(losses):
            index = xp.asarray(order.astype(np.int64, copy=False))
            if per_feature:

                def picked(x: Any) -> Any:
                    ones = (1,) * (x.ndim - 2)
                    return xp.take_along_axis(x, index.reshape(*index.shape, *ones), axis=0)

                parameters = self._parameters.changed(picked)
                names = parameters.names._replace(sets=None)
                sets = self._of(parameters._replace(names=names))
                losses = picked(losses)
            else:
                sets, losses = self[index], losses[index]
        return (sets, losses, index) if return_index else (sets, losses)


WeightSets.__module__ = "multisubnet"  # where pickles look for it
