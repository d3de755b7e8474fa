"""Sums over samples and sets for networks with hidden layers, chunk by chunk.

Backends write the totals of blocks (_backends/mlp_sums.py). This module adds and divides them, for
as many sets and networks at a time as fit in a few megabytes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.summands import Summands
from multisubnet._arithmetic.summation_order import BLOCK
from multisubnet._backends import choice
from multisubnet._backends.mlp_sums import MlpSums, MlpTotals
from multisubnet._functions.summation import Summing

_TOTALS_BYTES = 1 << 24  # for block totals held at once
_PREDICTIONS_BYTES = 1 << 23  # for predictions of additive networks; holds at least one set
FUNCTIONS = "mlp", "mlp_sums", "mlp_sample_sums", "mlp_output_loss"
_SLOPES = Summands("product", "linear", ("slope",), False)


class Outputs(NamedTuple):
    """Output arrays; None for those not requested.

    The loss has shape (N, S), or (N,) for all networks of a set. Gradients have the shapes of
    weight, bias and intercept, with N in front, or 1 for sums over sets.
    """

    loss: Any
    layers: tuple[tuple[Any, Any], ...]
    intercept: Any

    @property
    def has_layers(self) -> bool:
        """Return whether a gradient of a layer is requested."""
        return any(x is not None for layer in self.layers for x in layer)

    def without_gradients(self) -> Outputs:
        """Return the loss alone."""
        return Outputs(self.loss, ((None, None),) * len(self.layers), None)


class NetworkSums:
    """A backend that sums over networks, with operands as its own arrays.

    Sums are divided by `divisor` and, if given, by the one element of `divisor_array`.
    """

    def __init__(self, summing: Summing, divisor: float = 1.0, divisor_array: Any = None):
        self.summing = summing
        self.divisor = divisor, divisor_array
        self._trees: dict[tuple[int, int], tuple[Any, _Tree]] = {}  # by `out` and its first network

    def write(self, sums: MlpSums, outs: Outputs) -> None:
        """Write losses and gradients."""
        n_sets = sums.call.n_sets
        if sums.call.additive:
            for n, apart in self._additive(sums, outs):
                self._write_chunks(apart, outs._replace(loss=None), n, n_sets)
        else:
            self._write_chunks(sums, outs, 0, n_sets)
        if not n_sets:
            for out in (outs.intercept, *(x for layer in outs.layers for x in layer)):
                if out is not None:
                    out[...] = 0.0
        for out, tree in self._trees.values():
            self._finish(tree.total().loss[None], out)

    def write_of_samples(self, sums: MlpSums, out: Any) -> None:
        """Write gradients of samples (B, F) or (N, B, F), with cotangents as targets."""
        inputs, n_features = sums.call.inputs, out.shape[-1]
        for rows, totals in self._totals_of_samples(sums, len(out)):
            kept = totals.shape[1]
            self.add_features(totals, inputs, out[rows].reshape(kept, n_features))

    def totals_of_samples(self, sums: MlpSums) -> Any:
        """Return sums over sets for samples (B, F) and each input of each network, (B, S * d)."""
        call = sums.call
        found = self.summing.empty((call.n_samples, call.n_subnets * call.sizes[0]))
        for rows, totals in self._totals_of_samples(sums, len(found)):
            self._finish(totals, found[rows], divided=False)
        return found

    def _totals_of_samples(self, sums: MlpSums, length: int) -> Iterator[tuple[slice, Any]]:
        """Yield some of the rows, samples or sets, and their totals (blocks, kept, S * d)."""
        call = sums.call
        over_sets = call.samples.ndim == 2
        n_columns = call.n_subnets * call.sizes[0]
        n_blocks = max(-(-call.n_sets // BLOCK), 1) if over_sets else 1
        of_row = 8 * n_columns * (n_blocks if over_sets else call.n_samples)
        step = max(_TOTALS_BYTES // max(of_row, 1), 1)
        for start in range(0, length, step):
            rows = slice(start, min(start + step, length))
            sets, samples = slice(0, call.n_sets), slice(0, call.n_samples)
            place = (sets, rows) if over_sets else (rows, samples)
            part = sums.part(*place, slice(0, call.n_subnets))
            kept = part.call.n_samples if over_sets else part.call.n_sets * part.call.n_samples
            totals = self.summing.empty((n_blocks, kept, n_columns))
            shape = len(totals) if over_sets else part.call.n_sets, part.call.n_samples
            self._run(
                "mlp_sample_sums", part, totals.reshape(*shape, call.n_subnets, call.sizes[0])
            )
            if not over_sets:
                totals += 0.0  # turns -0.0 into +0.0, as a sum of one term does
            yield rows, totals

    def _run(self, name: str, *operands: Any) -> None:
        """Call a function of the backend, or NumPy's if the backend does not have it."""
        backend = self.summing.backend
        getattr(backend if hasattr(backend, name) else choice.load("numpy"), name)(*operands)

    def _finish(self, totals: Any, out: Any, divided: bool = True) -> None:
        """Write sums over the first axis to `out`, which has the shape of the other axes."""
        if totals.size:
            flat = totals.reshape(len(totals), len(out), -1)
            divisor = self.divisor if divided else (1.0, None)
            self.summing.backend.finish(flat, out.reshape(len(out), -1), *divisor)

    def _summed(self, totals: Any) -> Any:
        """Return the sums over the first axis."""
        node = self.summing.empty(totals.shape[1:])
        self._finish(totals, node, divided=False)
        return node

    def _take(self, totals: Any, out: Any, sets: slice, subnets: slice, n_sets: int) -> None:
        """Write or accumulate block totals of some sets and networks into a gradient."""
        if len(out) == n_sets:
            self._finish(totals, out[sets, subnets])
            return
        place = id(out), subnets.start
        _, tree = self._trees.setdefault(place, (out[:, subnets], _Tree()))
        of_sets = self._summed(totals)
        tree.add(MlpTotals(self._summed(of_sets[:, None]), ()))

    def _write_chunks(self, sums: MlpSums, outs: Outputs, first: int, n_sets: int) -> None:
        """Write losses and gradients of a chunk of the `n_sets` sets, starting at `first`."""
        call = sums.call
        if outs.loss is None and not outs.has_layers:
            return
        gradients = [x for layer in outs.layers for x in layer if x is not None]
        per_network = 1 + sum(math.prod(x.shape[2:]) for x in gradients)
        of_block = 8 * per_network
        held = _TOTALS_BYTES // (of_block * sums.n_blocks)
        for sets, all_subnets in _chunks(call.n_sets, call.n_subnets, held):
            losses = None  # of several chunks of networks, or of none
            if outs.loss is not None and (len(all_subnets) > 1 or not call.n_subnets):
                losses = self.summing.empty((1, sets.stop - sets.start, call.n_subnets))
            there = slice(first + sets.start, first + sets.stop)
            for subnets in all_subnets:
                part = sums.part(sets, slice(0, call.n_samples), subnets)
                most_blocks = _power_of_two(_TOTALS_BYTES // of_block)
                written = self._write_block(part, outs, there, subnets, n_sets)
                totals = written or self._totals(part, outs, most_blocks)
                if losses is not None:
                    self._finish(totals.loss, losses[0][:, subnets], divided=False)
                for of_layer, out in zip(totals.layers, outs.layers, strict=True):
                    for array, gradient in zip(of_layer, out, strict=True):
                        if array is not None:
                            self._take(array, gradient, there, subnets, n_sets)
            if outs.loss is not None:
                losses = totals.loss if losses is None else losses
                self.summing.backend.finish(losses, outs.loss[there], *self.divisor)

    def _write_block(
        self, sums: MlpSums, outs: Outputs, sets: slice, subnets: slice, n_sets: int
    ) -> MlpTotals | None:
        """Write gradients of one block without an array of totals, and return those of the loss.

        Returns None if the backend cannot.
        """
        write = getattr(self.summing.backend, "mlp_gradients", None)
        gradients = [x for x in itertools.chain(*outs.layers) if x is not None]
        if write is None or sums.n_blocks > 1 or not gradients:
            return None
        if any(x.dtype != sums.call.dtype or len(x) != n_sets for x in gradients):
            return None
        of_loss = self._empty_totals(sums, outs.without_gradients())
        layers = MlpTotals(None, outs.layers).each(lambda x: x[None, sets, subnets]).layers
        places = of_loss._replace(layers=layers)
        number, array = self.divisor
        if array is not None:
            number *= float(array[0])
        return of_loss if write(sums, places, number or math.nan) else None

    def _totals(self, sums: MlpSums, outs: Outputs, most_blocks: int) -> MlpTotals:
        """Return totals per block, or one total if there are more than `most_blocks` blocks."""
        call, tree = sums.call, _Tree()
        step = most_blocks * BLOCK
        for start in range(0, max(call.n_samples, 1), step):
            samples = slice(start, min(start + step, call.n_samples))
            part = sums.part(slice(0, call.n_sets), samples, slice(0, call.n_subnets))
            totals = self._empty_totals(part, outs)
            self._run("mlp_sums", part, totals)
            if step >= call.n_samples:
                return totals
            tree.add(totals.each(self._summed))
        return tree.total().each(lambda x: x[None])

    def _additive(self, sums: MlpSums, outs: Outputs) -> Iterator[tuple[int, MlpSums]]:
        """Write losses, and yield sets with the cotangents of their networks.

        Each step takes as many sets as fit, and yields the number of the first one.
        """
        n_sets, n_samples, n_outputs = sums.call.shape
        of_set = n_samples * n_outputs * sums.call.dtype.itemsize
        step = _power_of_two(_PREDICTIONS_BYTES // max(of_set, 1))
        for n in range(0, n_sets, step):
            sets = slice(n, min(n + step, n_sets))
            part = sums.part(sets, slice(0, n_samples), slice(0, sums.call.n_subnets))
            wants_slopes = outs.has_layers or outs.intercept is not None
            slopes = self._evaluate_loss(
                part, None if outs.loss is None else outs.loss[sets], wants_slopes
            )
            if outs.intercept is not None:
                totals = self._sum_slopes(slopes)
                self._take(totals, outs.intercept, sets, slice(0, n_outputs), n_sets)
            if outs.has_layers:
                yield n, part.apart(slopes)

    def _evaluate_loss(self, sums: MlpSums, loss: Any, wants_slopes: bool) -> Any:
        """Write the loss of additive networks if requested, and return the slopes."""
        if sums.loss.loss == "product":
            return sums.targets[:, :, 0]
        call, empty = sums.call, self.summing.empty
        predictions = empty(call.shape, call.dtype)
        slopes = empty(call.shape, call.dtype) if wants_slopes else None
        totals = None if loss is None else empty((sums.n_blocks, call.n_sets, 1))
        self._run("mlp", call, predictions)
        self._run("mlp_output_loss", sums, predictions, totals, slopes)
        if loss is not None:
            self.summing.backend.finish(totals, loss, *self.divisor)
        return slopes

    def _sum_slopes(self, slopes: Any) -> Any:
        """Return the block totals of slopes (N, B, P)."""
        n_sets, n_samples, n_outputs = slopes.shape
        totals = self.summing.empty((max(-(-n_samples // BLOCK), 1), 1, n_sets, n_outputs))
        if n_samples:
            summing = self.summing
            operands = {"target": slopes}
            summing.backend.sums(_SLOPES, operands, summing.dtype, 0.0, n_samples, totals)
        else:
            totals[...] = 0.0
        return totals[:, 0]

    def _empty_totals(self, sums: MlpSums, outs: Outputs) -> MlpTotals:
        call = sums.call
        front = sums.n_blocks, call.n_sets, call.n_subnets

        def empty(out: Any) -> Any:
            return None if out is None else self.summing.empty((*front, *out.shape[2:]))

        layers = tuple((empty(weight), empty(bias)) for weight, bias in outs.layers)
        return MlpTotals(None if outs.loss is None else self.summing.empty(front), layers)

    def add_features(self, totals: Any, inputs: np.ndarray | None, out: Any) -> None:
        """Write sums over blocks and over networks that see the same feature to `out` (kept, F)."""
        if inputs is None:
            self._finish(totals, out)
            return
        of_inputs = self._summed(totals)
        of_features = self.summing.empty(out.shape)
        of_features[...] = 0.0
        with np.errstate(all="ignore"):
            for columns, features in _in_turn(inputs.ravel()):
                of_features[:, features] = of_features[:, features] + of_inputs[:, columns]
        self._finish(of_features[None], out)


class _Tree:
    """A binary tree of sums over nodes, `MlpTotals`, added one after the other."""

    def __init__(self) -> None:
        self._nodes: list[tuple[int, MlpTotals]] = []  # with the number of levels below each

    def add(self, node: MlpTotals) -> None:
        """Add a node."""
        level = 0
        while self._nodes and self._nodes[-1][0] == level:
            node = self._sum(self._nodes.pop()[1], node)
            level += 1
        self._nodes.append((level, node))

    def total(self) -> MlpTotals:
        """Return the sum."""
        (_, total), *others = reversed(self._nodes)
        for _, node in others:
            total = self._sum(node, total)
        return total

    @staticmethod
    def _sum(one: MlpTotals, other: MlpTotals) -> MlpTotals:
        with np.errstate(all="ignore"):
            return one.each(lambda a, b: a + b, other)


def _chunks(n_sets: int, n_subnets: int, held: int) -> Iterator[tuple[slice, list[slice]]]:
    """Yield slices of sets, and for each a list of slices of networks that fit together.

    A step takes all networks of a power-of-two number of sets, or else some networks of one set.
    """
    step = _power_of_two(held // max(n_subnets, 1))
    networks = n_subnets if step > 1 else min(max(held, 1), n_subnets)
    subnets = [
        slice(s, min(s + networks, n_subnets)) for s in range(0, n_subnets, max(networks, 1))
    ]
    for n in range(0, n_sets, step):
        yield slice(n, min(n + step, n_sets)), subnets or [slice(0, 0)]


def _power_of_two(number: int) -> int:
    """Return the largest power of two that does not exceed a number; at least 1."""
    return 1 << max(number, 1).bit_length() - 1


def _in_turn(features: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield columns and features: first the first column of each feature, then the second, ..."""
    order = np.argsort(features, kind="stable")
    ordered = features[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    turns = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    for turn in range(turns.max(initial=-1) + 1):
        columns = order[turns == turn]
        yield columns, features[columns]
