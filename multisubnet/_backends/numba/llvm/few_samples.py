"""Vector instructions for Numba: networks with hidden layers, for a few samples per set.

Vector lanes are units of a layer, whose weights of one input are contiguous: each weight is read
once, and each input is broadcast to a vector. No lane is idle, even if a set has a single sample.
Each unit still adds its products in the order of the inputs. To hide the latency of these sums,
several networks, or samples of a network, are evaluated together. The rest of a layer after whole
vectors uses shorter vectors, down to one unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from multisubnet._backends.numba.lines import AT_ONCE, LINE
from multisubnet._backends.numba.llvm.layers import LayerEmitter, Plan
from multisubnet._backends.numba.llvm.transposes import emit_places
from multisubnet._backends.numba.llvm.vectors import INT64, emit_splat

_STRAIGHT = 32  # vectors of weights of a layer; more need a loop over inputs
_CHUNKS = 4  # vectors of units that are summed together


@intrinsic(prefer_literal=True)
def evaluate_items(
    typingctx, array, arrays, s, n_subnets, items, wiring, parameters, hidden, totals, plan
):
    """Evaluate network s on the samples of some items, in the dtype of `array`.

    An item is a row of int64 at `items`: a set, then the addresses of the rows of its samples, then
    those of their rows in the result. There are as many samples as the plan has vectors, and as
    many items as give AT_ONCE samples. `arrays` are weights and biases, `wiring` is the address of
    the network's feature numbers, `parameters` that of the activations' parameters (float64), and
    `hidden` that of scratch memory. If the plan is additive, values are added to float64 at
    `totals`, one row of all outputs per sample.
    """
    dtype = array.dtype
    known = Plan.read(plan.literal_value)

    def codegen(context, builder, signature, arguments):
        _, given, s, n_subnets, items, wiring, parameters, hidden, totals, _ = arguments
        emitter = _Items(builder, as_dtype(dtype), context.get_data_type(dtype), known)
        emitter.read_items(items)
        places = [emit_places(context, builder, arrays, given, n, s) for n in emitter.sets]
        one = INT64(1)
        is_last = builder.icmp_signed("==", builder.add(s, one), n_subnets)
        later_s = builder.select(is_last, INT64(0), builder.add(s, one))
        step = builder.select(is_last, INT64(len(places)), INT64(0))
        later_n = builder.add(emitter.sets[0], step)
        later = emit_places(context, builder, arrays, given, later_n, later_s)
        emitter.emit(places, later, s, wiring, parameters, hidden, totals)
        return context.get_dummy_value()

    address = types.intp
    signature = types.void(
        *(array, arrays, types.intp, types.intp, address, address, address, address, address, plan)
    )
    return signature, codegen


class _Operand(NamedTuple):
    """The addresses of an operand's part for each item, and probable ones for the next call."""

    now: Sequence[Any]
    later: Sequence[Any]


class _Items(LayerEmitter):
    """Emits a network for items."""

    def read_items(self, items):
        """Read the sets, and the addresses of samples and results, sample by sample."""
        vectors = self.plan.vectors
        self.sets, self.samples, self.outs = [], [], []
        for item in range(AT_ONCE // vectors):
            first = item * (1 + 2 * vectors)
            at = [self.offset(items, (first + i, 8)) for i in range(1 + 2 * vectors)]
            n, *addresses = [self._load_word(place) for place in at]
            self.sets.append(n)
            self.samples += addresses[:vectors]
            self.outs += addresses[vectors:]

    def emit(self, places, later, s, wiring, parameters, hidden, totals):
        """Emit all layers.

        `places` are the addresses of weights and biases for each item; `later` are the probable
        ones for the first item of the next call.
        """
        step = INT64(self.itemsize)
        sizes, last = self.plan.sizes, len(self.plan.biased) - 1
        padded = -(-max(sizes) // self.plan.lanes) * self.plan.lanes
        width = padded * self.itemsize  # bytes of a sample's values
        operands = iter(self._operands(places, later))

        def feature(row, i):
            return self.feature(self.samples[row], wiring, i, step)

        values = feature
        for number, biased in enumerate(self.plan.biased):
            weights, biases = next(operands), next(operands) if biased else None
            activate = self.activation(self.plan.activations[number], parameters, number)
            if number == last:
                self._layer(number, values, self._writer(s, totals), weights, biases, activate)
                break
            base = self.offset(hidden, (number % 2 * AT_ONCE, width))
            rows = [self.offset(base, (row, width)) for row in range(AT_ONCE)]

            def write(row, k, vector, rows=rows):
                self.store(self.offset(rows[row], (k, self.itemsize)), vector)

            self._layer(number, values, write, weights, biases, activate)
            # Otherwise LLVM extracts values from the stored vectors, in the pipes that add.
            read = [_hide(self.builder, row) for row in rows]

            def value(row, i, read=read):
                return self.offset(read[row], (i, self.itemsize))

            values = value

    def _operands(self, places, later):
        for now, of_first in zip(zip(*places, strict=True), later, strict=True):
            step = self.builder.sub(of_first, now[0])
            yield _Operand(now, [self.builder.add(at, step) for at in now])

    def _writer(self, s, totals):
        n_outputs = self.plan.sizes[-1]

        def write(row, k, vector):
            at = self.offset(self.outs[row], (s, n_outputs * self.itemsize), (k, self.itemsize))
            self.store(at, vector)

        def add(row, k, vector):
            self.add_doubles(self.offset(totals, (row * n_outputs, 8), (k, 8)), vector)

        return add if self.plan.additive else write

    def _layer(self, number, values, write, weights, biases, activate):
        """Emit a layer from the addresses ``values(row, i)``, using ``write(row, k, vector)``.

        A row is one of all samples evaluated together, and k the first unit of a vector.
        """
        lanes, n_out = self.plan.lanes, self.plan.sizes[number + 1]
        group = _CHUNKS * lanes
        done = n_out // group * group if n_out >= 2 * group else 0
        if done:
            step, stop = INT64(group), INT64(done)
            with cgutils.for_range_slice(self.builder, INT64(0), stop, step, INT64) as (k, _):
                widths = [lanes] * _CHUNKS
                self._chunks(number, k, widths, values, write, weights, biases, activate)
        widths = [lanes] * ((n_out - done) // lanes)
        widths += [1 << bit for bit in reversed(range(lanes.bit_length() - 1)) if n_out >> bit & 1]
        for i in range(0, len(widths), _CHUNKS):
            some = widths[i : i + _CHUNKS]
            k = done + sum(widths[:i])
            self._chunks(number, k, some, values, write, weights, biases, activate)

    def _chunks(self, number, k, widths, values, write, weights, biases, activate):
        """Emit units of a layer in vectors of these widths, starting at unit k, for all rows."""
        builder, vectors = self.builder, self.plan.vectors
        n_in, n_out = self.plan.sizes[number : number + 2]
        kinds = [ir.VectorType(self.real, width) for width in widths]
        begins = [sum(widths[:i]) * self.itemsize for i in range(len(widths))]
        row_bytes = n_out * self.itemsize
        firsts = [self.offset(at, (k, self.itemsize)) for at in weights.now]
        later = weights.later

        def load(at):
            """Return the vectors that begin at an address."""
            places = [self.offset(at, (1, begin)) for begin in begins]
            return [self.load(place, kind) for place, kind in zip(places, kinds, strict=True)]

        def sums_of(items):
            """Return the sums of some items, row by row."""

            def add_input(i, sums):
                products = []
                for item in items:
                    found = load(self.offset(firsts[item], (i, row_bytes)))
                    if isinstance(i, ir.Value):
                        at = self.offset(later[item], (i, row_bytes), (k, self.itemsize))
                        for begin in range(0, sum(widths) * self.itemsize, LINE):
                            self.prefetch(self.offset(at, (begin, 1)))
                    elif not isinstance(k, ir.Value) and k == 0:
                        for line in range(
                            -(-i * row_bytes // LINE), -(-(i + 1) * row_bytes // LINE)
                        ):
                            self.prefetch(self.offset(later[item], (line, LINE)))
                    for row in range(item * vectors, (item + 1) * vectors):
                        at = builder.inttoptr(values(row, i), self.real.as_pointer())
                        h = builder.load(at, align=self.itemsize)
                        spread = {
                            kind: emit_splat(builder, h, kind) for kind in dict.fromkeys(kinds)
                        }
                        products += [builder.fmul(spread[w.type], w) for w in found]
                if sums is None:
                    return products
                return [builder.fadd(x, product) for x, product in zip(sums, products, strict=True)]

            if biases is None:
                sums, begin = add_input(0, None), 1
            else:
                of_items = [self.offset(biases.now[item], (k, self.itemsize)) for item in items]
                sums = [b for at in of_items for b in load(at) * vectors]
                begin = 0
            return self.add_inputs(sums, begin, n_in, is_straight, add_input)

        if biases is not None and not isinstance(k, ir.Value) and k == 0:
            for at in biases.later:
                self.prefetch(at)
        is_straight = n_in * -(-n_out // self.plan.lanes) <= _STRAIGHT
        every = list(range(len(firsts)))
        # Item by item, so that memory is prefetched; a loop needs sums that do not wait.
        groups = [[item] for item in every] if is_straight else [every]
        sums = [total for items in groups for total in sums_of(items)]
        for i, begin in enumerate(begins):
            for row, vector in enumerate(activate(sums[i :: len(begins)])):
                at = begin // self.itemsize
                write(row, builder.add(k, INT64(at)) if isinstance(k, ir.Value) else k + at, vector)

    def _load_word(self, at):
        return self.builder.load(self.builder.inttoptr(at, INT64.as_pointer()), align=8)


def _hide(builder, address):
    """Return the same address, without LLVM knowing that it is the same."""
    kind = ir.FunctionType(INT64, [INT64])
    return builder.call(ir.InlineAsm(kind, "", "=r,0"), [address])
