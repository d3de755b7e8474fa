"""Vector instructions for Numba: networks with hidden layers.

Vector lanes are samples. A network processes a tile of up to four vectors of samples at a time, and
in each layer four units. These are sixteen sums, each of which adds its products in order, so the
processor always has independent work. Weights are scalars that are broadcast when loaded: half a
load per product and sum. Widths are known at compile time. Short layers are emitted without loops,
and their values stay in registers as far as possible; those of longer layers stay in the L1 cache.
No operation has a fast-math flag, so nothing is contracted or reassociated.
"""

from __future__ import annotations

import itertools

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from multisubnet._backends.numba.lines import LINE
from multisubnet._backends.numba.llvm.layers import LayerEmitter, Plan
from multisubnet._backends.numba.llvm.vectors import INT64, emit_load_splat

_UNITS = 4  # units of a layer whose sums are computed together
_STRAIGHT = 272  # products of a layer that are emitted without loops


@intrinsic(prefer_literal=True)
def evaluate_network(
    typingctx, array, samples, wiring, row, places, later, parameters, hidden, out, n_samples, plan
):
    """Evaluate a network on some samples, in the dtype of `array`.

    `samples` is the address of rows of `row` bytes, one per feature, and `wiring` that of the
    numbers (int64) of the network's features; `places` are the addresses of its weights and biases,
    layer by layer, and `later` the probable ones for the next call; `parameters` is that of the
    activations' parameters (float64), and `hidden` that of scratch memory. Values are written to
    rows of `row` bytes at `out`, one per output. If the plan is additive, they are added to rows of
    float64 of twice that length. Rows are written up to a multiple of the tile's length.
    """
    dtype = array.dtype
    known = Plan.read(plan.literal_value)

    def codegen(context, builder, signature, arguments):
        _, samples, wiring, row, places, later, parameters, hidden, out, n_samples, _ = arguments
        emitter = _Network(builder, as_dtype(dtype), context.get_data_type(dtype), known)
        emitter.emit(
            samples,
            wiring,
            row,
            cgutils.unpack_tuple(builder, places),
            cgutils.unpack_tuple(builder, later),
            parameters,
            hidden,
            out,
            n_samples,
        )
        return context.get_dummy_value()

    address = types.intp
    every = types.UniTuple(address, len(places))
    signature = types.void(
        *(array, address, address, types.intp, every, every),
        *(address, address, address, types.intp, plan),
    )
    return signature, codegen


class _Network(LayerEmitter):
    """Emits a network for all tiles of a block of samples."""

    def __init__(self, builder, dtype, real, plan: Plan):
        super().__init__(builder, dtype, real, plan)
        self.vector = ir.VectorType(real, plan.lanes)
        self.vector_bytes = plan.lanes * self.itemsize

    def emit(self, samples, wiring, row, places, later, parameters, hidden, out, n_samples):
        plan, builder = self.plan, self.builder
        places = iter(zip(places, later, strict=True))
        layers = [(next(places), next(places)[0] if b else None) for b in plan.biased]
        functions = [
            self.activation(key, parameters, number) for number, key in enumerate(plan.activations)
        ]
        length = builder.mul(n_samples, INT64(self.itemsize))
        tile = INT64(plan.vectors * self.vector_bytes)
        with cgutils.for_range_slice(builder, INT64(0), length, tile, INT64) as (begin, _):

            def inputs(i):
                return self.load_vectors(self.feature(builder.add(samples, begin), wiring, i, row))

            values = inputs
            last = len(layers) - 1
            for number, (weight, bias) in enumerate(layers):
                if number == last:
                    write = self._writer(out, row, begin)
                    self._layer(number, values, write, weight, bias, functions[number])
                    break
                of_layer = _Values(self, hidden, plan, number)
                self._layer(number, values, of_layer.write, weight, bias, functions[number])
                values = of_layer.read

    def _writer(self, out, row, begin):
        builder = self.builder

        def write(k, vectors):
            self.store_vectors(builder.add(builder.add(out, begin), self.times(k, row)), vectors)

        def add(k, vectors):
            at = builder.mul(builder.add(begin, self.times(k, row)), INT64(8 // self.itemsize))
            at = builder.add(out, at)
            for number, vector in enumerate(vectors):
                self.add_doubles(builder.add(at, INT64(number * 8 * self.plan.lanes)), vector)

        return add if self.plan.additive else write

    def _layer(self, number, inputs, write, weight, bias, activate):
        """Emit a layer: `inputs(i)` returns vectors, `write(k, vectors)` takes those of unit k.

        `weight` has the address of the weights, and the probable one for the next call.
        """
        n_in, n_out = self.plan.sizes[number : number + 2]
        if is_straight(n_in, n_out):
            for k in range(0, n_out, _UNITS):
                units = min(_UNITS, n_out - k)
                self._units(k, units, n_in, n_out, inputs, write, weight, bias, activate)
            return
        whole = n_out - n_out % _UNITS
        if whole:
            step, stop = INT64(_UNITS), INT64(whole)
            with cgutils.for_range_slice(self.builder, INT64(0), stop, step, INT64) as (k, _):
                self._units(k, _UNITS, n_in, n_out, inputs, write, weight, bias, activate)
        if n_out > whole:
            units = n_out - whole
            self._units(whole, units, n_in, n_out, inputs, write, weight, bias, activate)

    def _units(self, k, units, n_in, n_out, inputs, write, weight, bias, activate):
        """Emit some units of a layer, starting at unit k."""
        builder, vectors = self.builder, self.plan.vectors
        weight, later = weight
        first = self.offset(weight, (k, self.itemsize))
        row = n_out * self.itemsize
        later = self.offset(later, (k, n_in * self.itemsize))
        turns = itertools.count()

        def add_input(i, sums):
            """Return the sums, unit by unit, with input i added."""
            if next(turns) % (LINE // (_UNITS * self.itemsize)) == 0:
                self.prefetch(self.offset(later, (i, _UNITS * self.itemsize)))
            found = inputs(i)
            is_known = not isinstance(i, ir.Value)
            at, begin = (first, i * row) if is_known else (self.offset(first, (i, row)), 0)
            products = []
            for u in range(units):
                w = self._splat_at(at, begin + u * self.itemsize)
                products += [builder.fmul(h, w) for h in found]
            if sums is None:
                return products
            return [builder.fadd(x, product) for x, product in zip(sums, products, strict=True)]

        if bias is not None:
            at = self.offset(bias, (k, self.itemsize))
            biases = [self._splat_at(at, u * self.itemsize) for u in range(units)]
            sums, begin = [b for b in biases for _ in range(vectors)], 0
        else:
            sums, begin = add_input(0, None), 1
        sums = self.add_inputs(sums, begin, n_in, is_straight(n_in, n_out), add_input)
        flat = activate(sums)
        for u in range(units):
            at = builder.add(k, INT64(u)) if isinstance(k, ir.Value) else k + u
            write(at, flat[u * vectors : (u + 1) * vectors])

    def load_vectors(self, at):
        return [self.load(place, self.vector) for place in self._places(at)]

    def store_vectors(self, at, vectors):
        for place, vector in zip(self._places(at), vectors, strict=True):
            self.store(place, vector)

    def _places(self, at):
        return [self.offset(at, (i, self.vector_bytes)) for i in range(self.plan.vectors)]

    def _splat_at(self, at, offset):
        return emit_load_splat(self.builder, at, offset, self.vector, self.itemsize)


class _Values:
    """The values of a hidden layer: in registers, or in scratch memory if there are many."""

    def __init__(self, network: _Network, hidden, plan: Plan, number: int):
        self.network = network
        before, width, after = plan.sizes[number : number + 3]
        straight = is_straight(before, width) and is_straight(width, after)
        self.registers: dict[int, list] | None = {} if straight else None
        self.unit = plan.vectors * network.vector_bytes
        self.place = network.offset(hidden, (number % 2 * max(plan.sizes), self.unit))

    def write(self, k, vectors):
        if self.registers is not None:
            self.registers[k] = vectors
        else:
            self.network.store_vectors(self.network.offset(self.place, (k, self.unit)), vectors)

    def read(self, i):
        if self.registers is not None:
            return self.registers[i]
        return self.network.load_vectors(self.network.offset(self.place, (i, self.unit)))


def is_straight(n_in: int, n_out: int) -> bool:
    """Return whether a layer is emitted without loops."""
    return n_in * n_out <= _STRAIGHT
