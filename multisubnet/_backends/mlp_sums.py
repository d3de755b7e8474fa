"""Losses and gradients of networks with hidden layers: what is summed, and in which order.

This page is the specification. numpy_mlp_sums.py is the same in NumPy, and each backend has its
bits. All values are of the working dtype W, float32 or float64 (`MlpCall.working_dtype`, which is
`MlpCall.dtype` here), to which operands, targets and factors are cast first. Each operation is
rounded once, in the order written.

**Forward**, as `MlpCall` says it: z[l][k] and h[l][k] of the layers l = 1 to L, h[0] being the
inputs.

**Loss.** `OutputLoss.program` gives, for each output p, a value and a slope, which is
dloss/dprediction * act'(z[L][p]) (dloss/dprediction alone if the activation is linear). Then::

    term     = (value[0] + value[1] + ... + value[P - 1]) * factor[b]
    delta[L] = slope[p] * factor[b]

without the products if there is no factor. The categorical crossentropy has one value for all
outputs. With the loss "product", the target is a cotangent: delta[L] is
cotangent[p] * act'(z[L][p]).

**Backward**, for l = L - 1 to 1, and for the inputs, l = 0, without act'::

    delta[l][j] = (weight[l+1][j, 0] * delta[l+1][0] + weight[l+1][j, 1] * delta[l+1][1] + ...)
                  * act'(z[l][j])

from left to right, starting from the first product. A linear layer is not multiplied by act'. act'
is the recipe of `Activation.derivative`, of z; a product with its 0 is a product (NaN of inf).

**Terms.** Of weight[l][j, k]: h[l-1][j] * delta[l][k]; of bias[l][k]: delta[l][k].

**Sums over samples** are those of affine subnetworks (summation_order.py), by the absolute index b:
in each run of 32 samples, b // 32, terms are added one after the other in W, starting from +0.0;
the totals of runs are converted to float64 and added in their order within each block of 4096,
b // 4096, starting from +0.0. Backends write these totals of blocks (`MlpTotals`). What they do not
write is done once for all of them (_functions/mlp_summation.py): the binary tree over blocks; the
tree over networks, for a loss of all networks of a set; the tree over sets, for gradients of a
parameter that sets share; the division; the rounding to the dtype of the result. There is no sum
over sets or networks in W.

So the sums of one set and network have nothing to do with those of others: vector lanes may be sets
(or networks), each adding sample after sample, or runs of one block, each lane adding its run, and
the totals of runs one after the other. Threads may share blocks, sets and networks as they like.

**Sums over sets**, for gradients of samples that sets share, are of the same kind, with the terms
delta[0][i] of each sample, network and input, and n // 32 and n // 4096 in place of b // 32 and
b // 4096. What several networks see is added up outside.

**Additive** networks are judged in three steps: `mlp` with `additive`, in W; `mlp_judge`, the loss
of these sums and its slopes, as above for a linear activation (`term` and slope[p] * factor[b]);
and one backward pass with these slopes as the cotangent.

A backend has up to three functions, on arrays of its own; those that it lacks are NumPy's:

- ``mlp_sums(sums, totals)`` writes the totals of blocks of samples that `totals` has arrays for.
- ``mlp_sample_sums(sums, totals)`` writes those of blocks of sets, float64 (blocks, B, S, d); with
  samples (N, B, F), delta[0] itself, float64 (N, B, S, d). The loss is "product".
- ``mlp_judge(sums, predictions, loss, slopes)`` takes predictions (N, B, P) in W, and writes the
  totals of the loss, (blocks, N, 1) float64, and slopes, (N, B, P) in W; either may be None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from multisubnet._arithmetic.output_loss import OutputLoss
from multisubnet._arithmetic.summation_order import BLOCK
from multisubnet._backends.mlp_call import MlpCall


class MlpTotals(NamedTuple):
    """Where totals of blocks are written: C-contiguous float64 arrays, or None if not asked for."""

    loss: Any
    """(blocks, N, S); (blocks, N, 1) of additive networks."""
    layers: tuple[tuple[Any, Any], ...]
    """Of each layer's weight (blocks, N, S, inputs, outputs) and bias (blocks, N, S, outputs)."""

    def each(self, change: Callable[..., Any], *others: MlpTotals) -> MlpTotals:
        """Return what a function makes of each array, and of those of `others` at its place."""

        def changed(*arrays: Any) -> Any:
            return None if arrays[0] is None else change(*arrays)

        pairs = zip(self.layers, *(x.layers for x in others), strict=True)
        layers = (tuple(zip(*of_layer, strict=True)) for of_layer in pairs)
        return MlpTotals(
            changed(self.loss, *(x.loss for x in others)),
            tuple((changed(*weights), changed(*biases)) for weights, biases in layers),
        )


class MlpSums(NamedTuple):
    """Valid operands of a loss of networks, and of its gradients."""

    call: MlpCall
    """The networks; its dtype is float32 or float64, and it is not additive, but for `mlp_judge`:
    of additive networks this one is what the sums of all are judged by."""
    loss: OutputLoss
    targets: Any
    """(N or 1, B, S or 1, P or 1), of any real dtype; of labels the last axis is 1. Of additive
    networks the third axis is 1."""
    factor: Any
    """The weights of samples, (B,) of any real dtype, or None."""

    @property
    def key(self) -> tuple[Any, ...]:
        """What code is generated from, but for the dtype."""
        return *self.call.key, self.loss, self.factor is not None

    @property
    def n_products(self) -> int:
        """How many products all networks take forward, of which gradients take three times."""
        return self.call.n_products

    @property
    def n_operations(self) -> int:
        """How many passes over numbers NumPy makes forward."""
        return self.call.n_operations

    @property
    def n_blocks(self) -> int:
        """The number of blocks of samples; 1 if there are no samples."""
        return max(-(-self.call.n_samples // BLOCK), 1)

    def with_arrays(self, change: Callable[[Any], Any]) -> MlpSums:
        """Return the operands with other arrays in place of their own."""
        factor = None if self.factor is None else change(self.factor)
        return self._replace(
            call=self.call.with_arrays(change), targets=change(self.targets), factor=factor
        )

    def apart(self, cotangent: Any) -> MlpSums:
        """Return the networks of an additive model with the cotangent (N, B, P) of their sum."""
        activation = self.call.activations[-1]
        key = "linear" if activation is None else activation.key
        return MlpSums(
            call=self.call._replace(additive=False, intercept=None),
            loss=OutputLoss("product", key, self.loss.n_outputs),
            targets=cotangent[:, :, None],
            factor=None,
        )

    def part(self, sets: slice, samples: slice, subnets: slice) -> MlpSums:
        """Return the operands of some of the sets, samples and networks."""
        cuts, call = (sets, samples, subnets), self.call
        if cuts == (slice(0, call.n_sets), slice(0, call.n_samples), slice(0, call.n_subnets)):
            return self
        lengths = self.targets.shape[:3]
        places = tuple(
            slice(None) if length == 1 else cut for length, cut in zip(lengths, cuts, strict=True)
        )
        # The axis of samples is never one that stands for others.
        return self._replace(
            call=call.part(*cuts),
            targets=self.targets[places[0], samples, places[2]],
            factor=None if self.factor is None else self.factor[samples],
        )
