"""Losses and gradients of networks with hidden layers: the summands, and the order of summation.

This is the specification. numpy_mlp_sums.py implements it in NumPy, and each backend gives the same
bits. All values have the working dtype W, float32 or float64 (`MlpCall.working_dtype`, which equals
`MlpCall.dtype` here), to which operands, targets and factors are cast first. Each operation is
rounded once, in the order written.

**Forward** is defined by `MlpCall`: z[l][k] and h[l][k] of the layers l = 1 to L, with h[0] the
inputs.

**Loss.** `OutputLoss.program` gives, for each output p, a value and a slope, which is
dloss/dprediction * act'(z[L][p]) (dloss/dprediction alone if the activation is linear). Then::

    term     = (value[0] + value[1] + ... + value[P - 1]) * factor[b]
    delta[L] = slope[p] * factor[b]

without the multiplication if there is no factor. The categorical crossentropy has one value for all
outputs. With the loss "product", the target is a cotangent: delta[L] is
cotangent[p] * act'(z[L][p]).

**Backward** goes from l = L - 1 to 1, then to the inputs, l = 0, without act'::

    delta[l][j] = (weight[l+1][j, 0] * delta[l+1][0] + weight[l+1][j, 1] * delta[l+1][1] + ...)
                  * act'(z[l][j])

from left to right, starting with the first product. For a linear layer there is no multiplication
by act'. act' is the recipe of `Activation.derivative` at z; a product with 0 is still computed (NaN
for inf).

**Terms.** For weight[l][j, k]: h[l-1][j] * delta[l][k]; for bias[l][k]: delta[l][k].

**Sums over samples** have the order of affine subnetworks (summation_order.py), by the absolute
index b. In each run of 32 samples, b // 32, terms are added one after the other in W, starting from
+0.0. The totals of runs are converted to float64 and added in order within each block of 4096,
b // 4096, starting from +0.0. Backends write these totals of blocks (`MlpTotals`). The rest is
common to all backends (_functions/mlp_summation.py): the binary tree over blocks; the tree over
networks, for a loss of all networks of a set; the tree over sets, for gradients of a parameter
shared by sets; the division; the rounding to the dtype of the result. No sum over sets or networks
is in W.

Sums of different sets and networks are therefore independent. Vector lanes may be sets (or
networks), each adding sample after sample. Or they may be runs of one block, each lane adding its
run, with the totals of runs then added in order. Threads may share blocks, sets and networks in any
way.

**Sums over sets**, for gradients of samples shared by sets, have the same order, with the terms
delta[0][i] of each sample, network and input, and with n // 32 and n // 4096 in place of b // 32
and b // 4096. If several networks see a feature, their sums are added outside.

**Additive** networks take three steps: `mlp` with `additive`, in W; `mlp_output_loss`, which
computes the loss of these sums and its slopes, as above for a linear activation (`term` and
slope[p] * factor[b]); and one backward pass with these slopes as the cotangent.

A backend has some of these functions, on its own arrays; NumPy's replace missing ones:

- ``mlp_sums(sums, totals)`` writes the totals of blocks of samples for which `totals` has arrays.
- ``mlp_gradients(sums, totals, divisor)``, optional, does the same for one block, but divides
  gradients and writes them to arrays (1, N, S, ...) in W. It returns False if it cannot.
- ``mlp_sample_sums(sums, totals)`` writes those of blocks of sets, float64 (blocks, B, S, d); for
  samples (N, B, F), delta[0] itself, float64 (N, B, S, d). The loss is "product".
- ``mlp_output_loss(sums, predictions, loss, slopes)`` takes predictions (N, B, P) in W, and writes
  the totals of the loss, (blocks, N, 1) float64, and slopes, (N, B, P) in W; either may be None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from multisubnet._arithmetic.output_loss import OutputLoss
from multisubnet._arithmetic.summation_order import BLOCK
from multisubnet._backends.mlp_call import MlpCall


class MlpTotals(NamedTuple):
    """The outputs for totals of blocks: C-contiguous float64 arrays, or None if not requested."""

    loss: Any
    """(blocks, N, S); (blocks, N, 1) for additive networks."""
    layers: tuple[tuple[Any, Any], ...]
    """For each layer, weight (blocks, N, S, inputs, outputs) and bias (blocks, N, S, outputs)."""

    def each(self, change: Callable[..., Any], *others: MlpTotals) -> MlpTotals:
        """Return the results of a function of each array and the matching arrays of `others`."""

        def changed(*arrays: Any) -> Any:
            return None if arrays[0] is None else change(*arrays)

        pairs = zip(self.layers, *(x.layers for x in others), strict=True)
        layers = (tuple(zip(*of_layer, strict=True)) for of_layer in pairs)
        return MlpTotals(
            changed(self.loss, *(x.loss for x in others)),
            tuple((changed(*weights), changed(*biases)) for weights, biases in layers),
        )


class MlpSums(NamedTuple):
    """Validated operands of a loss of networks, and of its gradients."""

    call: MlpCall
    """The networks, with dtype float32 or float64. They are not additive, except for
    `mlp_output_loss`, which computes the loss of the sums of an additive model."""
    loss: OutputLoss
    targets: Any
    """(N or 1, B, S or 1, P or 1), of any real dtype. The last axis of labels is 1, and so is the
    third axis for additive networks."""
    factor: Any
    """The weights of samples, (B,) of any real dtype, or None."""

    @property
    def key(self) -> tuple[Any, ...]:
        """The key of the generated code, without the dtype."""
        return *self.call.key, self.loss, self.factor is not None

    @property
    def n_products(self) -> int:
        """The number of products in a forward pass of all networks; gradients take three times."""
        return self.call.n_products

    @property
    def n_operations(self) -> int:
        """The number of NumPy passes over numbers in a forward pass."""
        return self.call.n_operations

    @property
    def n_blocks(self) -> int:
        """The number of blocks of samples; 1 if there are no samples."""
        return max(-(-self.call.n_samples // BLOCK), 1)

    def with_arrays(self, change: Callable[[Any], Any]) -> MlpSums:
        """Return the operands with each of their arrays changed."""
        factor = None if self.factor is None else change(self.factor)
        return self._replace(
            call=self.call.with_arrays(change), targets=change(self.targets), factor=factor
        )

    def apart(self, cotangent: Any) -> MlpSums:
        """Return the networks of an additive model with the cotangent (N, B, P) of their sum."""
        activation = self.call.activations[-1]
        key = "linear" if activation is None else activation.key
        return MlpSums(
            call=self.call._replace(intercept=None).with_form(additive=False),
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
        # The axis of samples never has length 1 to stand for all samples.
        return self._replace(
            call=call.part(*cuts),
            targets=self.targets[places[0], samples, places[2]],
            factor=None if self.factor is None else self.factor[samples],
        )
