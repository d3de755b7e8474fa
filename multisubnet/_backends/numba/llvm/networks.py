"""Vector instructions for Numba: networks with hidden layers.

Vector lanes are samples. A network goes over a tile of up to four vectors of samples at once, and
in each layer over four units: sixteen sums, each of which adds its products one after the other,
while the processor has others to go on with. Weights are scalars, spread over a vector when they
are loaded: half a load for each product and sum. Widths are known: short layers are emitted without
loops, and their values stay in registers as far as these go; those of longer layers stay in the
first cache. No operation has a fast-math flag, so that nothing is contracted or reassociated.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from multisubnet._arithmetic.activation import program_of
from multisubnet._backends.numba.llvm.programs import SHORT, emit_program, recipe_function
from multisubnet._backends.numba.llvm.vectors import INT64, emit_load_splat, emit_splat

_UNITS = 4  # of a layer, whose sums are made at once
_STRAIGHT = 272  # products of a layer, up to which it is emitted without loops
_STEP = 4  # inputs in the innermost loop of a longer one

_DOUBLE = ir.DoubleType()


class Plan(NamedTuple):
    """What is known of networks when they are compiled.

    `sizes` are the inputs and the outputs of each layer, `activations` their keys, `biased` whether
    there is a bias; `lanes` are those of a vector, `vectors` the number of them in a tile.
    """

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    biased: tuple[bool, ...]
    additive: bool
    lanes: int
    vectors: int

    def __str__(self) -> str:
        parts = (
            *(self.sizes, self.activations, map(int, self.biased)),
            *([int(self.additive)], [self.lanes], [self.vectors]),
        )
        return ";".join(",".join(map(str, part)) for part in parts)

    @staticmethod
    def read(text: str) -> Plan:
        """Return the plan of which this is the text, perhaps with more behind it."""
        sizes, activations, biased, *numbers = (x.split(",") for x in text.split()[0].split(";"))
        additive, lanes, vectors = (int(x) for (x,) in numbers)
        return Plan(
            tuple(map(int, sizes)),
            tuple(activations),
            tuple(x == "1" for x in biased),
            bool(additive),
            lanes,
            vectors,
        )


@intrinsic(prefer_literal=True)
def evaluate_network(
    typingctx, array, samples, wiring, row, places, parameters, hidden, out, n_samples, plan
):
    """Evaluate a network on some samples, in the dtype of `array`.

    `samples` is the address of rows of `row` bytes, one per feature, and `wiring` that of the
    numbers (int64) of those that the network sees; `places` are the addresses of its weights and
    biases, layer by layer, `parameters` that of the activations' parameters (float64), and `hidden`
    that of scratch memory. Values are written to rows of `row` bytes at `out`, one for each output;
    if the plan is additive, they are added to rows of float64 of twice that length. Rows are
    written up to a multiple of the tile's length.
    """
    dtype = array.dtype
    known = Plan.read(plan.literal_value)

    def codegen(context, builder, signature, arguments):
        _, samples, wiring, row, places, parameters, hidden, out, n_samples, _ = arguments
        emitter = _Network(builder, as_dtype(dtype), context.get_data_type(dtype), known)
        emitter.emit(
            samples,
            wiring,
            row,
            cgutils.unpack_tuple(builder, places),
            parameters,
            hidden,
            out,
            n_samples,
        )
        return context.get_dummy_value()

    address = types.intp
    signature = types.void(
        *(array, address, address, types.intp, types.UniTuple(address, len(places))),
        *(address, address, address, types.intp, plan),
    )
    return signature, codegen


class _Network:
    """Emits a network for all tiles of a block of samples."""

    def __init__(self, builder, dtype, real, plan: Plan):
        self.builder, self.dtype, self.real, self.plan = builder, dtype, real, plan
        self.itemsize = dtype.itemsize
        self.vector = ir.VectorType(real, plan.lanes)
        self.vector_bytes = plan.lanes * self.itemsize

    def emit(self, samples, wiring, row, places, parameters, hidden, out, n_samples):
        plan, builder = self.plan, self.builder
        places = iter(places)
        layers = [(next(places), next(places) if b else None) for b in plan.biased]
        functions = [
            self._activation(key, parameters, number) for number, key in enumerate(plan.activations)
        ]
        length = builder.mul(n_samples, INT64(self.itemsize))
        tile = INT64(plan.vectors * self.vector_bytes)
        with cgutils.for_range_slice(builder, INT64(0), length, tile, INT64) as (begin, _):

            def inputs(i):
                return self._load_vectors(builder.add(self._row(samples, wiring, row, i), begin))

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

    def _row(self, samples, wiring, row, i):
        """Return the address of the row of the feature that is input i."""
        builder = self.builder
        at = builder.inttoptr(self._offset(wiring, (i, 8)), INT64.as_pointer())
        return builder.add(samples, builder.mul(builder.load(at), row))

    def _writer(self, out, row, begin):
        builder = self.builder

        def write(k, vectors):
            at = builder.add(builder.add(out, begin), self._times(k, row))
            self._store_vectors(at, vectors)

        def add(k, vectors):
            wide = ir.VectorType(_DOUBLE, self.plan.lanes)
            scale = INT64(8 // self.itemsize)
            at = builder.mul(builder.add(begin, self._times(k, row)), scale)
            at = builder.add(out, at)
            for number, vector in enumerate(vectors):
                place = builder.add(at, INT64(number * 8 * self.plan.lanes))
                pointer = builder.inttoptr(place, wide.as_pointer())
                if wide != vector.type:
                    vector = builder.fpext(vector, wide)
                total = builder.load(pointer, align=8)
                builder.store(builder.fadd(total, vector), pointer, align=8)

        return add if self.plan.additive else write

    def _layer(self, number, inputs, write, weight, bias, activate):
        """Emit a layer: `inputs(i)` are vectors, and `write(k, vectors)` takes those of unit k."""
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
        """Emit some units of a layer, from unit k on."""
        builder, vectors = self.builder, self.plan.vectors
        first = self._offset(weight, (k, self.itemsize))
        row = n_out * self.itemsize

        def add_input(i, sums):
            """Return the sums with the products of input i added."""
            found = inputs(i)
            is_known = not isinstance(i, ir.Value)
            at, begin = (first, i * row) if is_known else (self._offset(first, (i, row)), 0)
            result = []
            for u in range(units):
                w = self._splat_at(at, begin + u * self.itemsize)
                products = [builder.fmul(h, w) for h in found]
                if sums is not None:
                    products = [
                        builder.fadd(total, product)
                        for total, product in zip(sums[u], products, strict=True)
                    ]
                result.append(products)
            return result

        sums, begin = None, 0
        if bias is not None:
            at = self._offset(bias, (k, self.itemsize))
            sums = [[self._splat_at(at, u * self.itemsize)] * vectors for u in range(units)]
        else:
            sums, begin = add_input(0, None), 1

        looped = 0 if is_straight(n_in, n_out) else (n_in - begin) // _STEP * _STEP
        if looped > _STEP:
            places = [[cgutils.alloca_once(builder, self.vector) for _ in s] for s in sums]
            for totals, values in zip(places, sums, strict=True):
                for total, value in zip(totals, values, strict=True):
                    builder.store(value, total)
            start, stop = INT64(begin), INT64(begin + looped)
            with cgutils.for_range_slice(builder, start, stop, INT64(_STEP), INT64) as (i, _):
                inside = [[builder.load(total) for total in totals] for totals in places]
                for step in range(_STEP):
                    inside = add_input(builder.add(i, INT64(step)), inside)
                for totals, values in zip(places, inside, strict=True):
                    for total, value in zip(totals, values, strict=True):
                        builder.store(value, total)
            sums = [[builder.load(total) for total in totals] for totals in places]
            begin += looped
        for i in range(begin, n_in):
            sums = add_input(i, sums)
        flat = activate([vector for of_unit in sums for vector in of_unit])
        for u in range(units):
            at = builder.add(k, INT64(u)) if isinstance(k, ir.Value) else k + u
            write(at, flat[u * vectors : (u + 1) * vectors])

    def _activation(self, key, parameters, number):
        """Return what emits an activation of some vectors."""
        builder = self.builder
        if key == "linear":
            return lambda vectors: vectors
        program = program_of(key, self.dtype)
        at = self._offset(parameters, (number, 8))
        parameter = builder.load(builder.inttoptr(at, _DOUBLE.as_pointer()))
        if self.real != _DOUBLE:
            parameter = builder.fptrunc(parameter, self.real)
        if program.cost <= SHORT:
            spread = emit_splat(builder, parameter, self.vector)

            def inline(vectors):
                rows = [{"x": x, "parameter": spread} for x in vectors]
                return [result for (result,) in emit_program(builder, program, rows)]

            return inline

        def call(vectors):
            found = []
            for i in range(0, len(vectors), 4):
                part = vectors[i : i + 4]
                function = recipe_function(
                    builder.module, program, key, self.real, self.plan.lanes, len(part)
                )
                results = builder.call(function, [*part, parameter])
                found += [builder.extract_value(results, j) for j in range(len(part))]
            return found

        return call

    def _load_vectors(self, at):
        pointers = [self._pointer(at, number) for number in range(self.plan.vectors)]
        return [self.builder.load(pointer, align=self.itemsize) for pointer in pointers]

    def _store_vectors(self, at, vectors):
        for number, vector in enumerate(vectors):
            self.builder.store(vector, self._pointer(at, number), align=self.itemsize)

    def _pointer(self, at, number):
        at = self.builder.add(at, INT64(number * self.vector_bytes))
        return self.builder.inttoptr(at, self.vector.as_pointer())

    def _splat_at(self, at, offset):
        return emit_load_splat(self.builder, at, offset, self.vector, self.itemsize)

    def _offset(self, at, *steps):
        for index, step in steps:
            at = self.builder.add(at, self._times(index, INT64(step)))
        return at

    def _times(self, index, step):
        index = index if isinstance(index, ir.Value) else INT64(index)
        return self.builder.mul(index, step)


class _Values:
    """The values of a hidden layer: in registers, or in scratch memory if they are many."""

    def __init__(self, network: _Network, hidden, plan: Plan, number: int):
        self.network = network
        before, width, after = plan.sizes[number : number + 3]
        straight = is_straight(before, width) and is_straight(width, after)
        self.registers: dict[int, list] | None = {} if straight else None
        self.unit = plan.vectors * network.vector_bytes
        self.place = network._offset(hidden, (number % 2 * max(plan.sizes), self.unit))

    def write(self, k, vectors):
        if self.registers is not None:
            self.registers[k] = vectors
        else:
            self.network._store_vectors(self.network._offset(self.place, (k, self.unit)), vectors)

    def read(self, i):
        if self.registers is not None:
            return self.registers[i]
        return self.network._load_vectors(self.network._offset(self.place, (i, self.unit)))


def is_straight(n_in: int, n_out: int) -> bool:
    """Whether a layer is emitted without loops."""
    return n_in * n_out <= _STRAIGHT
