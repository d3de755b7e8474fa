"""Networks with hidden layers: in registers, all at once, or layer by layer if they are wide."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from multisubnet._backends.cupy.launch.mlp import Networks as Plan
from multisubnet._backends.cupy.launch.mlp import plan_layer, plan_mlp, plan_sum
from multisubnet._backends.mlp_call import MlpCall

_FLOAT64 = np.dtype(np.float64)
_SCRATCH_BYTES = 1 << 25  # for values that go through memory; there are two such buffers


class Networks:
    """`mlp` and `mlp_select` for validated arrays on the GPU.

    `launch(plan, arrays, *arguments)` launches a kernel, `empty(shape, dtype)` returns an array,
    and `upload(array)` returns a lasting copy of a NumPy array.
    """

    def __init__(
        self,
        launch: Callable[..., None],
        empty: Callable[[tuple[int, ...], np.dtype], Any],
        upload: Callable[[np.ndarray], Any],
    ):
        self._launch, self._empty, self._upload = launch, empty, upload

    def mlp(self, call: MlpCall, out: Any) -> None:
        """Write the values of all networks to `out`, of shape (N, B, S, P), or (N, B, P)."""
        self._write(call, None, out)

    def mlp_select(self, call: MlpCall, set_index: Any, out: Any) -> None:
        """Write the values of set `set_index[b]` for each sample b to `out`, (B, S, P) or (B, P).

        An out-of-range index gives NaN, or 0 in dtypes without NaN.
        """
        self._write(call, set_index, out)

    def _write(self, call: MlpCall, set_index: Any, out: Any) -> None:
        if not out.size:
            return
        if call.inputs is not None:
            call = call._replace(inputs=self._upload(call.inputs))
        plan = plan_of(call)._replace(in_turns=True)
        if not plan.fits:
            self._write_by_layers(call, plan, set_index, out)
            return
        samples = call.samples
        if set_index is not None:  # each sample becomes a set of one sample
            samples, out = samples[:, None], out[:, None]
        arrays = samples, out, call.intercept, call.inputs, set_index, *weights_of(call)
        self._launch(plan_mlp, arrays, plan)

    def _write_by_layers(self, call: MlpCall, plan: Plan, set_index: Any, out: Any) -> None:
        """Write values of networks of any width, for some of the networks at a time."""
        if set_index is not None:
            call, out = call.with_form(n_sets=1), out[None]
        dtypes = plan.working, plan.dtype
        for n, b, networks in _blocks(call):
            index = None if set_index is None else set_index[b]
            sets = slice(0, plan.n_sets) if index is not None else n
            of_block = out[n, b]
            totals = None
            if plan.additive and len(networks) > 1:
                totals = self._empty(of_block.shape, _FLOAT64)
            for number, s in enumerate(networks):
                part = call.part(sets, b, s).with_form(n_sets=n.stop - n.start)
                if not plan.additive:
                    self._write_layers(part, plan, index, of_block[:, :, s], "nbsk")
                    continue
                shape = part.n_sets, part.n_subnets, plan.sizes[-1], part.n_samples
                values = self._empty(shape, plan.working)
                if values.size:
                    between = plan._replace(dtype=plan.working)
                    self._write_layers(part, between, index, values, "nskb")
                arrays = values, of_block, part.intercept, index, totals
                ends = number == 0, number == len(networks) - 1
                self._launch(plan_sum, arrays, dtypes, plan.n_sets, *ends)

    def _write_layers(self, call: MlpCall, plan: Plan, index: Any, out: Any, axes: str) -> None:
        """Write the values of the last layer of some networks, one layer after the other."""
        before, of_before = call.samples, "nbk" if call.samples.ndim == 3 else "bk"
        inputs = call.inputs
        for number, (weight, bias) in enumerate(call.layers):
            is_last = number == len(call.layers) - 1
            after, of_after = out, axes
            if not is_last:
                shape = call.n_sets, call.n_subnets, weight.shape[3], call.n_samples
                after, of_after = self._empty(shape, plan.working), "nskb"
            arrays = before, after, inputs, index, weight, bias, None
            dtypes = plan.working, plan.dtype if is_last else plan.working
            activation = plan.activations[number]
            self._launch(plan_layer, arrays, (of_before, of_after), activation, dtypes, plan.n_sets)
            before, of_before, inputs = after, of_after, None


def plan_of(call: MlpCall) -> Plan:
    return Plan(
        *call.key,
        *(call.working_dtype, call.dtype, call.n_subnets, call.n_sets),
    )


def weights_of(call: MlpCall) -> list[Any]:
    return [x for layer in call.layers for x in layer]


def _blocks(call: MlpCall) -> Iterator[tuple[slice, slice, list[slice]]]:
    """Yield sets, samples and networks whose values of a layer fit in scratch memory.

    Networks are a list of slices that covers all of them, in order.
    """
    widest = max(call.sizes[1:])
    most = max(_SCRATCH_BYTES // (widest * call.working_dtype.itemsize), 1)
    samples = min(call.n_samples, most)
    subnets = max(min(call.n_subnets, most // samples), 1)
    sets = min(call.n_sets, max(most // (samples * subnets), 1))
    pieces = slices(call.n_subnets, subnets) or [slice(0, 0)]
    for n in slices(call.n_sets, sets):
        for b in slices(call.n_samples, samples):
            yield n, b, pieces


def slices(length: int, most: int) -> list[slice]:
    return [slice(first, min(first + most, length)) for first in range(0, length, most)]
