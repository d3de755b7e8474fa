"""The reference for losses and gradients of networks with hidden layers; see mlp_sums.py.

The values of a layer are in an array (S, K, N, B), as in numpy_mlp.py, for as many sets, samples
and networks as stay in a cache. A piece of samples consists of whole runs of one block. Its totals
are added to those of earlier pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from multisubnet._arithmetic.float_mode import without_warnings
from multisubnet._arithmetic.summation_order import BLOCK, RUN
from multisubnet._backends.mlp_call import MlpCall
from multisubnet._backends.mlp_sums import MlpSums, MlpTotals
from multisubnet._backends.numpy_mlp import forward
from multisubnet._backends.programs import reuses_memory, run_program

_VALUES = 1 << 17  # values of all layers in a piece
_PRODUCTS = 1 << 16  # terms of weights computed at once
_MANY_SETS = 32  # from here on, pieces have all sets rather than many samples


@without_warnings
@reuses_memory
def mlp_sums(sums: MlpSums, totals: MlpTotals) -> None:
    """Write the totals of blocks of samples: of the loss, and of gradients of parameters."""
    of_parameters = [x for layer in totals.layers for x in layer if x is not None]
    for array in [*of_parameters, *([] if totals.loss is None else [totals.loss])]:
        array[...] = 0.0
    for piece in _pieces_of_samples(sums.call):
        sets, samples, subnets = piece
        part = sums.part(*piece)
        values: list[Any] = list(forward(part.call, _samples_last(part.call)))
        wanted = totals.loss is not None, bool(of_parameters)
        loss, delta = _evaluate_loss(part, values[-1][0], *wanted)
        place = samples.start // BLOCK, sets, subnets
        if loss is not None:
            _add_runs(totals.loss[place].T, loss)
        if delta is None:
            continue
        for number, d in _backward(part.call, [z for z, _ in values], delta):
            if number == 0:
                break
            of_weight, of_bias = totals.layers[number - 1]
            if of_bias is not None:
                _add_runs(of_bias[place].transpose(1, 2, 0), d)
            if of_weight is not None:
                _add_products(of_weight[place].transpose(1, 2, 3, 0), values[number - 1][1], d)


@without_warnings
@reuses_memory
def mlp_sample_sums(sums: MlpSums, totals: np.ndarray) -> None:
    """Write the totals of blocks of sets, or of each set, for gradients of inputs."""
    call = sums.call
    over_sets = call.samples.ndim == 2
    if over_sets:
        totals[...] = 0.0
    most = max(_VALUES // sum(call.sizes), 1)
    sets = _whole_runs(most // min(max(call.n_samples, 1), 64))
    step = max(most // sets, 1)
    for start in range(0, call.n_samples, step):
        samples = slice(start, min(start + step, call.n_samples))
        for s in range(call.n_subnets):
            for those in _cut(call.n_sets, sets):
                part = sums.part(those, samples, slice(s, s + 1))
                values: list[Any] = list(
                    forward(part.call, part.call.n_samples >= part.call.n_sets)
                )
                _, delta = _evaluate_loss(part, values[-1][0], False, True)
                *_, (_, of_inputs) = _backward(part.call, [z for z, _ in values], delta)
                if over_sets:
                    total = totals[those.start // BLOCK, samples, s : s + 1].transpose(1, 2, 0)
                    _add_runs(total, of_inputs.swapaxes(2, 3))
                else:
                    totals[those, samples, s : s + 1] = of_inputs.transpose(2, 3, 0, 1)


@without_warnings
@reuses_memory
def mlp_output_loss(
    sums: MlpSums, predictions: np.ndarray, loss: np.ndarray | None, slopes: np.ndarray | None
) -> None:
    """Write the block totals of the loss of predictions (N, B, P), and its slopes."""
    n_sets, n_samples, n_outputs = predictions.shape
    if loss is not None:
        loss[...] = 0.0
    most = max(_VALUES // n_outputs, 1)
    step = min(_whole_runs(most), BLOCK)
    sets = max(most // min(step, max(n_samples, 1)), 1)
    for n in range(0, n_sets, sets):
        those = slice(n, min(n + sets, n_sets))
        for samples in _cut(n_samples, step):
            z = predictions[those, samples].transpose(2, 0, 1)[None]
            part = sums.part(those, samples, slice(0, sums.call.n_subnets))
            term, delta = _evaluate_loss(part, z, loss is not None, slopes is not None)
            if loss is not None:
                total = loss[samples.start // BLOCK, those].T
                _add_runs(total, term)
            if slopes is not None:
                slopes[those, samples] = delta[0].transpose(1, 2, 0)


def _evaluate_loss(
    sums: MlpSums, z: np.ndarray, wants_loss: bool, wants_slopes: bool
) -> tuple[Any, Any]:
    """Return the terms of the loss, (S, N, B), and delta of the outputs, (S, P, N, B), or None."""
    dtype = z.dtype
    program = sums.loss.program(dtype, wants_loss, wants_slopes)
    activation = sums.call.activations[-1]
    number = 0.0 if activation is None else activation.number
    targets = sums.targets.transpose(2, 3, 0, 1).astype(dtype)
    factor = None if sums.factor is None else sums.factor.astype(dtype)
    if sums.loss.width == 1:
        given: dict[str, Any] = {"z0": z, "target": targets}
        shape = z.shape
    else:
        given = {f"z{p}": z[:, p] for p in range(z.shape[1])} | {"target": targets[:, 0]}
        shape = z[:, 0].shape
    found = [
        np.broadcast_to(x, shape) for x in run_program(program, {**given, "parameter": number})
    ]
    loss = found.pop(0) if wants_loss else None
    if loss is not None and sums.loss.width == 1:
        loss = _left_to_right(loss.swapaxes(0, 1))
    delta = None
    if wants_slopes:
        delta = found[0] if sums.loss.width == 1 else np.stack(found, 1)
    if factor is None:
        return loss, delta
    return None if loss is None else loss * factor, None if delta is None else delta * factor


def _backward(call: MlpCall, z: list[Any], delta: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number of each layer and its delta, (S, K, N, B), from the last to the inputs."""
    yield len(call.layers), delta
    for number in range(len(call.layers) - 1, -1, -1):
        weight = call.layers[number][0].transpose(1, 2, 3, 0)
        w = weight.astype(delta.dtype, order="C")[..., None]  # (S, J, K, N, 1)
        delta = _left_to_right(w[:, :, k] * delta[:, k, None] for k in range(w.shape[2]))
        activation = call.activations[number - 1] if number else None
        if activation is not None and activation.name != "linear":
            program = activation.derivative.program(delta.dtype)
            given = {"x": z[number], "parameter": activation.number}
            delta *= run_program(program, given)[0]
        yield number, delta


def _left_to_right(terms: Any) -> np.ndarray:
    """Return the sum of arrays, starting with the first one."""
    terms = iter(terms)
    total = next(terms)
    for number, term in enumerate(terms):
        total = total + term if number == 0 else np.add(total, term, total)
    return total


def _add_products(total: np.ndarray, h: np.ndarray, delta: np.ndarray) -> None:
    """Add the sums of h[j] * delta[k] over samples to (S, J, K, N)."""
    n_inputs = h.shape[1]
    rows = max(_PRODUCTS * RUN // max(delta.size, 1), 1)
    for j in range(0, n_inputs, rows):
        _add_runs(total[:, j : j + rows], h[:, j : j + rows, None], delta[:, None])


def _add_runs(total: np.ndarray, terms: np.ndarray, factors: np.ndarray | None = None) -> None:
    """Add sums along the last axis of terms, times factors if given, to `total`, in float64.

    There are at most as many terms as in a block.
    """

    def of_each_run(i: int) -> np.ndarray:
        some = terms[..., i::RUN]
        return some if factors is None else some * factors[..., i::RUN]

    runs = of_each_run(0) + 0.0
    for i in range(1, min(RUN, terms.shape[-1])):
        some = of_each_run(i)
        runs[..., : some.shape[-1]] += some
    added = total.copy()
    for r in range(runs.shape[-1]):
        added += runs[..., r]
    total[...] = added


def _samples_last(call: MlpCall) -> bool:
    """Return whether the longer axis of a piece is that of runs."""
    return call.n_samples >= RUN * call.n_sets


def _pieces_of_samples(call: MlpCall) -> Iterator[tuple[slice, slice, slice]]:
    """Yield sets, samples and networks to process together, in the order of samples."""
    most = max(_VALUES // sum(call.sizes), 1)
    if call.n_sets >= _MANY_SETS:
        sets = min(max(most // RUN, 1), call.n_sets)
        samples = _whole_runs(most // sets)
    else:
        samples = _whole_runs(min(most, BLOCK, max(call.n_samples, 1)))
        sets = max(most // samples, 1)
    subnets = max(most // (min(sets, max(call.n_sets, 1)) * samples), 1)
    for n in range(0, call.n_sets, sets):
        for s in range(0, call.n_subnets, subnets):
            those = slice(n, min(n + sets, call.n_sets)), slice(s, min(s + subnets, call.n_subnets))
            for piece in _cut(call.n_samples, samples):
                yield those[0], piece, those[1]


def _cut(length: int, step: int) -> Iterator[slice]:
    """Split a summed axis into pieces of at most `step`, each within one block."""
    for block in range(0, length, BLOCK):
        stop = min(block + BLOCK, length)
        for start in range(block, stop, step):
            yield slice(start, min(start + step, stop))


def _whole_runs(length: int) -> int:
    """Return a number of terms, at least a run, that is a whole number of runs."""
    return max(length // RUN * RUN, RUN)
