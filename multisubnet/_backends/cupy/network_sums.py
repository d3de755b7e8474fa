"""Losses and gradients of networks with hidden layers, as specified in _backends/mlp_sums.py.

Losses of networks that fit in registers take one launch. Other losses, and gradients, go through
memory layer by layer, one piece of the work at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from multisubnet._arithmetic.summands import OPERANDS, Summands
from multisubnet._arithmetic.summation_order import BLOCK, RUN
from multisubnet._backends.cupy.launch.mlp import MOST_LAYERS, parameter_of, plan_layer
from multisubnet._backends.cupy.launch.mlp_sums import (
    fits,
    fits_gradients,
    plan_grad,
    plan_layer_sums,
    plan_loss,
    plan_output_loss,
)
from multisubnet._backends.cupy.launch.sums import plan_sums
from multisubnet._backends.cupy.networks import plan_of, slices, weights_of
from multisubnet._backends.mlp_call import MlpCall
from multisubnet._backends.mlp_sums import MlpSums, MlpTotals

_SCRATCH_BYTES = 1 << 25  # for values that go through memory
_SLOPES = Summands("product", "linear", ("slope",), False)


class NetworkSums:
    """`mlp_sums`, `mlp_sample_sums` and `mlp_output_loss` for validated arrays on the GPU.

    The arguments are those of `Networks`.
    """

    def __init__(
        self,
        launch: Callable[..., None],
        empty: Callable[[tuple[int, ...], np.dtype], Any],
        upload: Callable[[np.ndarray], Any],
    ):
        self._launch, self._empty, self._upload = launch, empty, upload

    def mlp_sums(self, sums: MlpSums, totals: MlpTotals) -> None:
        """Write the totals of blocks of samples: of the loss, and of gradients of parameters."""
        call = sums.call
        gradients = [x for layer in totals.layers for x in layer if x is not None]
        if not call.n_samples:
            for array in [*gradients, *([] if totals.loss is None else [totals.loss])]:
                array[...] = 0.0
            return
        if not call.n_sets * call.n_subnets:
            return
        sums = self._with_inputs(sums)
        plan = plan_of(sums.call)
        if fits(plan) and not gradients:
            self._write_losses(sums, plan, totals.loss)
            return
        flat = [
            [None if x is None else x.reshape(*x.shape[:3], -1) for x in layer]
            for layer in totals.layers
        ]
        if gradients and fits_gradients(plan, call.n_samples):
            self._write_gradients(sums, plan, totals.loss, flat)
            return
        for sets, samples, subnets in _pieces(call):
            part = sums.part(sets, samples, subnets)
            blocks = slice(samples.start // BLOCK, -(-samples.stop // BLOCK))
            place = blocks, sets, subnets
            values = self._forward(part.call, both=bool(gradients))
            loss = None if totals.loss is None else totals.loss[place]
            is_first = samples.start % BLOCK == 0
            delta = self._evaluate_loss(part, values[-1][0], loss, bool(gradients), is_first)
            if not gradients:
                continue
            for number, d in self._backward(part.call, values, delta):
                before, axes, inputs = values[number][1]
                arrays = before, d, inputs, *(None if x is None else x[place] for x in flat[number])
                n_inputs = call.sizes[number]
                self._launch(plan_layer_sums, arrays, axes, n_inputs, is_first)

    def mlp_sample_sums(self, sums: MlpSums, totals: Any) -> None:
        """Write the totals of blocks of sets, or of each set, for gradients of inputs."""
        call = sums.call
        over_sets = call.samples.ndim == 2
        if not totals.size:
            return
        if over_sets and not call.n_sets:
            totals[...] = 0.0
            return
        sums = self._with_inputs(sums)
        for sets, samples, subnets in _pieces_of_sets(call) if over_sets else _pieces(call):
            part = sums.part(sets, samples, subnets)
            dtype = call.dtype if over_sets else totals.dtype
            shape = part.call.n_sets, part.call.n_samples, part.call.n_subnets, call.sizes[0]
            out = self._empty(shape, dtype) if over_sets else totals[sets, samples, subnets]
            for inner in _pieces(part.call):
                of_piece = part.part(*inner)
                values = self._forward(of_piece.call, both=True)
                delta = self._evaluate_loss(of_piece, values[-1][0], None, True, True)
                for _ in self._backward(of_piece.call, values, delta, out[inner]):
                    pass
            if over_sets:
                n_sets, n_samples = shape[:2]
                place = totals[sets.start // BLOCK, samples, subnets].reshape(1, 1, n_samples, -1)
                terms = out.reshape(n_sets, n_samples, -1).swapaxes(0, 1)
                arrays = *(terms if x == "target" else None for x in OPERANDS), place
                self._launch(plan_sums, arrays, _SLOPES, call.dtype, 0.0, n_sets)

    def mlp_output_loss(self, sums: MlpSums, predictions: Any, loss: Any, slopes: Any) -> None:
        """Write the block totals of the loss of predictions (N, B, P), and its slopes."""
        if not predictions.size:
            if loss is not None:
                loss[...] = 0.0
            return
        targets, factor = sums.targets, sums.factor
        arrays = targets, factor, predictions, slopes, loss
        self._launch(plan_output_loss, arrays, "nbk", sums.loss, 0.0, True)

    def _with_inputs(self, sums: MlpSums) -> MlpSums:
        """Return the operands with the features that networks see on the GPU."""
        inputs = sums.call.inputs
        if inputs is None:
            return sums
        return sums._replace(call=sums.call._replace(inputs=self._upload(inputs)))

    def _write_losses(self, sums: MlpSums, plan: Any, totals: Any) -> None:
        call = sums.call
        arrays = sums.targets, sums.factor, call.samples, totals, None, call.inputs, None
        self._launch(plan_loss, (*arrays, *weights_of(call)), plan, sums.loss)

    def _write_gradients(self, sums: MlpSums, plan: Any, losses: Any, gradients: Any) -> None:
        call = sums.call
        totals = [x for layer in gradients for x in layer]
        totals += [None] * (2 * MOST_LAYERS - len(totals))
        arrays = sums.targets, sums.factor, *totals, call.samples, losses, None, call.inputs, None
        self._launch(plan_grad, (*arrays, *weights_of(call)), plan, sums.loss)

    def _evaluate_loss(self, sums: MlpSums, z: Any, loss: Any, slopes: bool, is_first: bool) -> Any:
        """Write losses of sums (N, S, P, B) if there is an array for them; return the slopes."""
        delta = self._empty(z.shape, z.dtype) if slopes else None
        arrays = sums.targets, sums.factor, z, delta, loss
        parameter = parameter_of(sums.call.activations[-1])
        self._launch(plan_output_loss, arrays, "nskb", sums.loss, parameter, is_first)
        return delta

    def _forward(self, call: MlpCall, both: bool) -> list[tuple[Any, tuple[Any, str, Any]]]:
        """Return for each layer its sums (N, S, K, B), and the input of the next layer.

        The input is an array, its axes, and the feature numbers; those of the first layer come
        first. Without `both`, only the last layer has sums.
        """
        inputs = call.samples, "nbk"[3 - call.samples.ndim :], call.inputs
        values: list[tuple[Any, tuple[Any, str, Any]]] = [(None, inputs)]
        for number, activation in enumerate(call.activations):
            is_last = number == len(call.layers) - 1
            before = values[-1][1]
            z = self._layer(call, number, None, *before) if both or is_last else None
            is_linear = activation is None or activation.name == "linear"
            has_values = is_last or (both and is_linear)
            h = z if has_values else self._layer(call, number, activation, *before)
            values.append((z, (h, "nskb", None)))
        return values

    def _layer(
        self, call: MlpCall, number: int, activation: Any, before: Any, axes: str, inputs: Any
    ) -> Any:
        """Return the values of a layer, (N, S, K, B)."""
        dtype, (weight, bias) = call.working_dtype, call.layers[number]
        after = self._empty((call.n_sets, call.n_subnets, weight.shape[3], call.n_samples), dtype)
        arrays = before, after, inputs, None, weight, bias, None
        what = (axes, "nskb"), activation, (dtype, dtype), call.n_sets
        self._launch(plan_layer, arrays, *what)
        return after

    def _backward(
        self, call: MlpCall, values: list[Any], delta: Any, out: Any = None
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each layer and its delta, from the last layer on.

        With `out`, (N, B, S, d), the delta of the inputs is finally written to it.
        """
        dtype = call.working_dtype
        for number in range(len(call.layers) - 1, -1, -1):
            yield number, delta
            weight = call.layers[number][0].swapaxes(2, 3)
            if number:
                activation = call.activations[number - 1]
                is_linear = activation is None or activation.name == "linear"
                z = None if is_linear else values[number][0]
                after = self._empty((*delta.shape[:2], weight.shape[3], delta.shape[3]), dtype)
                arrays = delta, after, None, None, weight, None, z
                what = ("nskb", "nskb"), None if is_linear else activation
            elif out is not None:
                after, arrays = None, (delta, out, None, None, weight, None, None)
                what = ("nskb", "nbsk"), None
            else:
                return
            dtypes = dtype, dtype if number else out.dtype
            self._launch(plan_layer, arrays, *what, dtypes, call.n_sets)
            delta = after


def _count_in_scratch(call: MlpCall) -> int:
    """Return how many samples of networks fit in scratch memory."""
    of_one = 3 * sum(call.sizes) * call.working_dtype.itemsize
    return max(_SCRATCH_BYTES // of_one, 1)


def _pieces(call: MlpCall) -> Iterator[tuple[slice, slice, slice]]:
    """Yield sets, samples and networks whose values fit, in the order of samples.

    Samples are whole blocks, or whole runs of one block.
    """
    most = _count_in_scratch(call)
    unit = BLOCK if most >= BLOCK else RUN
    samples = min(max(most // unit * unit, RUN), max(call.n_samples, 1))
    subnets = min(max(most // samples, 1), max(call.n_subnets, 1))
    sets = max(most // (samples * subnets), 1)
    # Whole blocks, or parts of one block.
    of_samples = [
        slice(block.start + part.start, block.start + part.stop)
        for block in slices(call.n_samples, max(samples, BLOCK))
        for part in slices(block.stop - block.start, samples)
    ]
    for n in slices(call.n_sets, sets):
        for s in slices(call.n_subnets, subnets):
            for b in of_samples:
                yield n, b, s


def _pieces_of_sets(call: MlpCall) -> Iterator[tuple[slice, slice, slice]]:
    """Yield blocks of sets, and samples and networks whose deltas of inputs fit.

    These are all networks of some samples, or some networks of one sample.
    """
    most = _SCRATCH_BYTES // (call.sizes[0] * call.working_dtype.itemsize)
    for n in slices(call.n_sets, BLOCK):
        held = max(most // (n.stop - n.start), 1)
        samples = max(held // max(call.n_subnets, 1), 1)
        for b in slices(call.n_samples, samples):
            for s in slices(call.n_subnets, held if samples == 1 else call.n_subnets):
                yield n, b, s
