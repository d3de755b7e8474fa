"""Vector instructions for Numba: losses of networks with hidden layers, and their gradients.

Samples are summed in runs, and each step of a run is one sample. Vector lanes are either sets, with
the same sample at each step, or runs of one set, each at the same step of its own run. Each lane
thus adds in the order of its run, and both cases share the code: values common to all lanes are
broadcast when loaded.

A run is processed in chunks of steps. Values and derivatives of each layer are written to scratch
memory, then slopes from the last layer to the first, in place of the derivatives. Then the products
of values and slopes are added, a square of weights at a time, with the sums in registers. No
operation has a fast-math flag, so nothing is contracted or reassociated.
"""

from __future__ import annotations

import ast
import functools
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from multisubnet._arithmetic.activation import form_of
from multisubnet._arithmetic.activation_recipes import RECIPES
from multisubnet._arithmetic.output_loss import CATEGORICAL, OutputLoss
from multisubnet._arithmetic.recipe import Program, Real, trace
from multisubnet._arithmetic.summation_order import RUN
from multisubnet._backends.numba.llvm.programs import SHORT, emit_program
from multisubnet._backends.numba.llvm.vectors import INT64, emit_splat

_UNITS = 4  # units of a layer whose sums are computed together
_STRAIGHT = 8  # products of a sum that are emitted without a loop
_STEP = 4  # products per iteration of a loop
_ROWS = 4  # vectors per call of a long recipe's function

_DOUBLE = ir.DoubleType()


class SumsPlan(NamedTuple):
    """The properties of networks and of their sums that are known at compile time.

    `sizes`, `activations` and `biased` are those of `Plan`, and `loss` is that of `OutputLoss`.
    Losses are summed if there are `terms`; the sum of a loss follows those of `gradients`. With
    `of_samples`, the sums are gradients of inputs, over sets that are given one after the other;
    lanes are then samples, and `lanes_are_runs` is true. `sums` is the number of sums computed
    together, `steps` the length of a chunk.
    """

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    biased: tuple[bool, ...]
    loss: str
    weighted: bool
    terms: bool
    gradients: bool
    lanes_are_runs: bool
    own_samples: bool
    own_targets: bool
    lanes: int
    sums: int
    steps: int
    of_samples: bool = False

    @staticmethod
    def read(text: str) -> SumsPlan:
        """Return the plan that a text begins with."""
        return SumsPlan(*ast.literal_eval(text.split("|")[0]))

    @property
    def text(self) -> str:
        """The plan as a text."""
        return repr(tuple(self))

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """The numbers of the first weight and the first bias of each layer."""
        found, begin = [], 0
        for n_in, n_out, biased in zip(self.sizes, self.sizes[1:], self.biased, strict=False):
            found.append((begin, begin + n_in * n_out))
            begin += n_in * n_out + biased * n_out
        return found

    @property
    def n_parameters(self) -> int:
        """The number of weights and biases of a network."""
        shapes = zip(self.sizes, self.sizes[1:], self.biased, strict=False)
        return sum((n_in + biased) * n_out for n_in, n_out, biased in shapes)

    @property
    def n_sums(self) -> int:
        """The number of sums."""
        if self.of_samples:
            return self.sizes[0] * RUN
        return self.gradients * self.n_parameters + self.terms

    @property
    def n_values(self) -> int:
        """The number of values that a loss is the sum of."""
        return 1 if self.loss == CATEGORICAL else self.sizes[-1]

    @property
    def n_targets(self) -> int:
        """The number of targets of a sample."""
        return self.n_values

    @property
    def scratch(self) -> int:
        """The number of vectors that a chunk takes."""
        return self._places[-1]

    @property
    def _places(self) -> list[int]:
        """Return the offsets, in vectors, of the values and slopes of each layer, and of losses."""
        hidden = self.sizes[1:-1]
        if not self.gradients:
            hidden = (max(hidden, default=0),) * 2
        lengths = [*hidden, *hidden * self.gradients, self.sizes[-1], self.n_values * self.terms]
        return [self.steps * sum(lengths[:i]) for i in range(len(lengths) + 1)]

    def values_at(self, layer: int) -> int:
        """Return the offset of the values of a hidden layer; the first one is 1."""
        return self._places[layer - 1 if self.gradients else layer % 2]

    def slopes_at(self, layer: int) -> int:
        """Return the offset of the slopes of a layer; the last layer's replace its sums."""
        is_last = layer == len(self.sizes) - 1
        return self._places[-3 if is_last else len(self.sizes) - 3 + layer]

    @property
    def terms_at(self) -> int:
        """The offset of the values of losses."""
        return self._places[-2]

    def layer_program(self, number: int, dtype: np.dtype) -> Program | None:
        """Return the program of a hidden layer's activation, with its derivative if needed."""
        key = self.activations[number]
        return None if key == "linear" else _value_and_slope(key, self.gradients, dtype)

    def last_program(self, dtype: np.dtype) -> Program:
        """Return the program of the loss, if there is one, with its slope if needed."""
        loss = OutputLoss(self.loss, self.activations[-1], self.sizes[-1])
        return loss.program(dtype, self.terms, self.gradients)

    def programs(self, dtype: np.dtype) -> list[Program | None]:
        """Return all programs."""
        hidden = range(len(self.sizes) - 2)
        return [*(self.layer_program(i, dtype) for i in hidden), self.last_program(dtype)]


@functools.cache
def _value_and_slope(key: str, both: bool, dtype: np.dtype) -> Program:
    name = key.removesuffix("_derivative")
    recipe, form = RECIPES[name], form_of(dtype)
    value = recipe.value if key == name else recipe.derivative

    def results(x: Real, parameter: Real) -> tuple[Real, ...]:
        slope = (recipe.derivative(x, parameter, form),) if both else ()
        return value(x, parameter, form), *slope

    return trace(results, dtype, ("x", "parameter"))


@intrinsic(prefer_literal=True)
def add_run(
    typingctx,
    array,
    weights,
    inputs,
    targets,
    factors,
    lengths,
    parameters,
    scratch,
    sums,
    n_steps,
    plan,
):
    """Add the terms of one run per lane to the lane's sums, in the dtype of `array`.

    All arguments are addresses: of the weights and biases (one number per lane, or a single one if
    lanes are runs); of each input and target, with RUN steps; of factors for each step (one number
    per lane, or a single one if lanes are sets without their own factors); of the lengths of runs
    (int64) if lanes are runs; of the activations' parameters (float64); of scratch memory; and of
    the sums, per lane. The longest run has `n_steps`; up to RUN steps are read.
    """
    dtype = array.dtype
    known = SumsPlan.read(plan.literal_value)

    def codegen(context, builder, signature, arguments):
        emitter = _Run(builder, as_dtype(dtype), context.get_data_type(dtype), known)
        emitter.emit(*arguments[1:-1])
        return context.get_dummy_value()

    return types.void(array, *[types.intp] * 9, plan), codegen


class _Run:
    """Emits the code for one run per lane."""

    def __init__(self, builder, dtype: np.dtype, real, plan: SumsPlan):
        self.builder, self.dtype, self.real, self.plan = builder, dtype, real, plan
        self.itemsize = dtype.itemsize
        self.vector = ir.VectorType(real, plan.lanes)
        self.zero = ir.Constant(self.vector, None)
        self.size = plan.lanes * self.itemsize

    def emit(
        self, weights, inputs, targets, factors, lengths, parameters, scratch, sums, n_steps
    ) -> None:
        builder, plan = self.builder, self.plan
        self.weights, self.sums = weights, sums
        self.scratch, self.lengths = scratch, lengths
        self.inputs, self.targets, self.factors = inputs, targets, factors
        self.of_layers = [self._parameter(parameters, i) for i in range(len(plan.activations))]
        with cgutils.for_range_slice(builder, INT64(0), n_steps, INT64(plan.steps), INT64) as (
            begin,
            _,
        ):
            self.begin = begin
            rest = builder.sub(n_steps, begin)
            whole = builder.icmp_signed("<", INT64(plan.steps), rest)
            self.count = builder.select(whole, INT64(plan.steps), rest)
            last = len(plan.sizes) - 2
            program = plan.last_program(self.dtype)
            given = {x.inputs[0] for x in program.operations if x.name == "input"}
            for number in range(last + 1):
                if number < last or "z0" in given:
                    self._forward(number)
            self._evaluate_loss(program)
            if plan.gradients:
                for number in range(last, -1 if plan.of_samples else 0, -1):
                    self._backward(number)
                for number in range(-1 if plan.of_samples else last, -1, -1):
                    self._add_products(number)
            if plan.terms:
                self._add_up(INT64(plan.n_sums - 1), [[(None, 0)]], None, self._term)

    # Values of layers.

    def _forward(self, number: int) -> None:
        """Emit the values of a layer, and their derivatives if needed."""
        plan, builder = self.plan, self.builder
        n_in, n_out = plan.sizes[number : number + 2]
        is_last = number == len(plan.sizes) - 2
        first_weight, first_bias = plan.offsets[number]
        for k, units in self._tiles(n_out, _UNITS):
            for t, steps in self._steps(units):

                def products(i, units=units, steps=steps, k=k, t=t):
                    at = builder.add(INT64(first_weight), builder.mul(i, INT64(n_out)))
                    at = self._weight_at(builder.add(at, k))
                    found = [self._value(number, i, builder.add(t, INT64(s))) for s in range(steps)]
                    return [
                        [builder.fmul(h, w) for h in found]
                        for w in (self._load_weight(at, u) for u in range(units))
                    ]

                sums = None
                if plan.biased[number]:
                    at = self._weight_at(builder.add(INT64(first_bias), k))
                    sums = [[self._load_weight(at, u)] * steps for u in range(units)]
                sums = self._sum_up(n_in, products, sums)
                flat = [z for of_unit in sums for z in of_unit]
                places = [
                    (builder.add(k, INT64(u)), builder.add(t, INT64(s)))
                    for u in range(units)
                    for s in range(steps)
                ]
                if is_last:
                    for z, place in zip(flat, places, strict=True):
                        self._store(z, self._place(plan.slopes_at(number + 1), *place))
                else:
                    self._activate(number, flat, places)

    def _activate(self, number: int, flat: list, places: list) -> None:
        program = self.plan.layer_program(number, self.dtype)
        results = [[z] for z in flat]
        if program is not None:
            shared = {"parameter": self.of_layers[number]}
            results = self._evaluate(program, [{"x": z} for z in flat], shared)
        for (unit, t), (value, *slope) in zip(places, results, strict=True):
            self._write(self.plan.values_at(number + 1), unit, t, value)
            if slope:
                self._store(slope[0], self._place(self.plan.slopes_at(number + 1), unit, t))

    # The loss, from the last layer.

    def _evaluate_loss(self, program: Program) -> None:
        """Emit the values of the loss and its slopes, from the sums of the last layer."""
        plan, builder = self.plan, self.builder
        n_outputs, last = plan.sizes[-1], len(plan.sizes) - 1
        width = n_outputs if plan.loss == CATEGORICAL else 1
        shared = {"parameter": self.of_layers[-1]}
        for p, units in self._tiles(n_outputs // width, _UNITS):
            for t, steps in self._steps(units):
                rows, places = [], []
                for u in range(units):
                    for s in range(steps):
                        step = builder.add(t, INT64(s))
                        first = builder.add(p, INT64(u))
                        outputs = [builder.add(first, INT64(i)) for i in range(width)]
                        row = {
                            f"z{i}": self._read(plan.slopes_at(last), output, step)
                            for i, output in enumerate(outputs)
                        }
                        rows.append(row | {"target": self._target(first, step)})
                        places.append((first, outputs, step))
                results = self._evaluate(program, rows, shared)
                for (first, outputs, step), found in zip(places, results, strict=True):
                    if plan.terms:
                        self._store(found[0], self._place(plan.terms_at, first, step))
                    for output, slope in zip(outputs, found[plan.terms :], strict=False):
                        if plan.weighted:
                            slope = builder.fmul(slope, self._factor(step))
                        self._write(plan.slopes_at(last), output, step, slope)

    def _term(self, _, t):
        """Return the loss of a step."""
        plan, builder = self.plan, self.builder
        total = self._read(plan.terms_at, INT64(0), t)
        for i in range(1, plan.n_values):
            total = builder.fadd(total, self._read(plan.terms_at, INT64(i), t))
        if plan.weighted:
            total = builder.fmul(total, self._factor(t))
        return self._unless_ended(total, t)

    # Slopes.

    def _backward(self, number: int) -> None:
        """Emit the slopes of the values that layer `number` takes."""
        plan, builder = self.plan, self.builder
        n_in, n_out = plan.sizes[number : number + 2]
        first_weight, _ = plan.offsets[number]
        for j, units in self._tiles(n_in, _UNITS):
            for t, steps in self._steps(units):

                def products(k, units=units, steps=steps, j=j, t=t):
                    at = builder.add(INT64(first_weight), builder.mul(j, INT64(n_out)))
                    at = self._weight_at(builder.add(at, k))
                    found = [
                        self._read(plan.slopes_at(number + 1), k, builder.add(t, INT64(s)))
                        for s in range(steps)
                    ]
                    return [
                        [builder.fmul(w, d) for d in found]
                        for w in (self._load_weight(at, u * n_out) for u in range(units))
                    ]

                sums = self._sum_up(n_out, products, None)
                for u, of_unit in enumerate(sums):
                    for s, total in enumerate(of_unit):
                        place = builder.add(j, INT64(u)), builder.add(t, INT64(s))
                        if number == 0:
                            self._add_slope(*place, total)
                            continue
                        if plan.activations[number - 1] != "linear":
                            slope = self._read(plan.slopes_at(number), *place)
                            total = builder.fmul(total, slope)
                        self._write(plan.slopes_at(number), *place, total)

    def _add_slope(self, i, t, slope) -> None:
        """Add the slope of an input to this sample's sum."""
        builder = self.builder
        number = builder.add(builder.mul(i, INT64(RUN)), builder.add(self.begin, t))
        at = builder.add(self.sums, builder.mul(number, INT64(self.size)))
        self._store(builder.fadd(self._load(at), slope), at)

    # Gradients.

    def _add_products(self, number: int) -> None:
        """Emit the sums of the products of a layer's inputs and slopes, and of its slopes."""
        plan, builder = self.plan, self.builder
        n_in, n_out = plan.sizes[number : number + 2]
        first_weight, first_bias = plan.offsets[number]
        biased = plan.biased[number]
        most = plan.sums
        columns = min(n_out, max(most // min(n_in + biased, 4), 1))
        columns = 1 << (columns.bit_length() - 1)
        rows = max(most // columns, 1)
        together = biased and n_in + 1 <= rows
        for k, n_columns in self._tiles(n_out, columns):

            def slope(u, t, k=k):
                return self._read(plan.slopes_at(number + 1), builder.add(k, INT64(u)), t)

            bias_at = builder.add(INT64(first_bias), k)
            if biased and not together:
                pairs = [[(None, u) for u in range(n_columns)]]
                self._add_up(bias_at, pairs, None, slope)
            for j, n_rows in self._tiles(n_in, rows):
                at = builder.add(INT64(first_weight), builder.mul(j, INT64(n_out)))
                at = builder.add(at, k)

                def value(a, t, j=j):
                    return self._value(number, builder.add(j, INT64(a)), t)

                square = [[(a, a * n_out + u) for u in range(n_columns)] for a in range(n_rows)]
                if together:
                    beyond = first_bias - first_weight
                    square.append([(None, beyond + u) for u in range(n_columns)])
                self._add_up(at, square, value, slope)

    def _add_up(self, at, square: list, value, slope) -> None:
        """Emit the sums over a chunk for a square of products, or for slopes alone.

        A row of the square has the number of its value, or None, and the offset of its sum from
        `at`.
        """
        builder = self.builder
        base = builder.add(self.sums, builder.mul(at, INT64(self.size)))
        places = [
            [builder.add(base, INT64(offset * self.size)) for _, offset in row] for row in square
        ]
        totals = [[cgutils.alloca_once(builder, self.vector) for _ in row] for row in square]
        for row, of_row in zip(places, totals, strict=True):
            for place, total in zip(row, of_row, strict=True):
                builder.store(self._load(place), total)
        with cgutils.for_range_slice(builder, INT64(0), self.count, INT64(1), INT64) as (t, _):
            slopes = [slope(u, t) for u in range(len(square[0]))]
            for row, of_row in zip(square, totals, strict=True):
                a = row[0][0]
                h = None if a is None else value(a, t)
                for total, d in zip(of_row, slopes, strict=True):
                    term = d if h is None else builder.fmul(h, d)
                    builder.store(builder.fadd(builder.load(total), term), total)
        for row, of_row in zip(places, totals, strict=True):
            for place, total in zip(row, of_row, strict=True):
                self._store(builder.load(total), place)

    # Shared parts.

    def _sum_up(self, length: int, products: Callable[[Any], list], sums: list | None) -> list:
        """Return sums with the products of some indices added, in order."""
        builder = self.builder

        def added(i, sums):
            found = products(i)
            if sums is None:
                return found
            return [
                [builder.fadd(total, product) for total, product in zip(*pair, strict=True)]
                for pair in zip(sums, found, strict=True)
            ]

        begin = 0
        if sums is None:
            sums, begin = added(INT64(0), None), 1
        looped = (length - begin) // _STEP * _STEP
        if length > _STRAIGHT and looped > _STEP:
            places = [[cgutils.alloca_once(builder, self.vector) for _ in row] for row in sums]
            for row, of_row in zip(sums, places, strict=True):
                for total, place in zip(row, of_row, strict=True):
                    builder.store(total, place)
            start, stop = INT64(begin), INT64(begin + looped)
            with cgutils.for_range_slice(builder, start, stop, INT64(_STEP), INT64) as (i, _):
                inside = [[builder.load(place) for place in row] for row in places]
                for step in range(_STEP):
                    inside = added(builder.add(i, INT64(step)), inside)
                for row, of_row in zip(inside, places, strict=True):
                    for total, place in zip(row, of_row, strict=True):
                        builder.store(total, place)
            sums = [[builder.load(place) for place in row] for row in places]
            begin += looped
        for i in range(begin, length):
            sums = added(INT64(i), sums)
        return sums

    def _tiles(self, length: int, most: int) -> Iterator[tuple[Any, int]]:
        """Emit a loop over the tiles of an axis; yield their beginnings and widths."""
        whole = length - length % most
        if whole == most:
            yield INT64(0), most
        elif whole:
            step, stop = INT64(most), INT64(whole)
            with cgutils.for_range_slice(self.builder, INT64(0), stop, step, INT64) as (begin, _):
                yield begin, most
        if length > whole:
            yield INT64(whole), length - whole

    def _steps(self, units: int) -> Iterator[tuple[Any, int]]:
        """Emit a loop over tiles of steps; some steps may lie beyond the last one."""
        steps = 1 << ((self.plan.sums // units).bit_length() - 1)
        steps = min(steps, 8, self.plan.steps)
        with cgutils.for_range_slice(self.builder, INT64(0), self.count, INT64(steps), INT64) as (
            t,
            _,
        ):
            yield t, steps

    def _evaluate(self, program: Program, rows: list[dict], shared: dict) -> list:
        if program.cost <= SHORT:
            return emit_program(self.builder, program, [row | shared for row in rows])
        found = []
        for i in range(0, len(rows), _ROWS):
            found += self._call(program, rows[i : i + _ROWS], shared)
        return found

    def _call(self, program: Program, rows: list[dict], shared: dict) -> list:
        """Emit a function call, so that long programs are not copied to every place."""
        builder = self.builder
        names, n_results = list(rows[0]), len(program.results)
        number = zlib.crc32(repr(program).encode())
        name = f"multisubnet.rows.{len(rows)}.{number:x}.{program.dtype.char}"
        n_given = len(rows) * len(names)
        results = ir.LiteralStructType([self.vector] * (len(rows) * n_results))
        if name not in builder.module.globals:
            kind = ir.FunctionType(results, [self.vector] * (n_given + len(shared)))
            function = ir.Function(builder.module, kind, name)
            function.linkage = "internal"
            function.attributes.add("noinline")
            inside = ir.IRBuilder(function.append_basic_block())
            given = iter(function.args)
            of_rows = [{name: next(given) for name in names} for _ in rows]
            of_all = {name: next(given) for name in shared}
            found = emit_program(inside, program, [row | of_all for row in of_rows])
            values = [value for row in found for value in row]
            inside.ret(cgutils.make_anonymous_struct(inside, values, results))
        arguments = [x for row in rows for x in row.values()] + list(shared.values())
        returned = builder.call(builder.module.globals[name], arguments)
        flat = [builder.extract_value(returned, i) for i in range(len(rows) * n_results)]
        return [flat[i : i + n_results] for i in range(0, len(flat), n_results)]

    def _parameter(self, parameters, number: int):
        at = self.builder.add(parameters, INT64(8 * number))
        value = self.builder.load(self.builder.inttoptr(at, _DOUBLE.as_pointer()))
        if self.real != _DOUBLE:
            value = self.builder.fptrunc(value, self.real)
        return emit_splat(self.builder, value, self.vector)

    # Addresses.

    def _weight_at(self, number):
        size = self.itemsize if self.plan.lanes_are_runs else self.size
        return self.builder.add(self.weights, self.builder.mul(number, INT64(size)))

    def _load_weight(self, at, number: int):
        if self.plan.lanes_are_runs:
            return self._spread(self.builder.add(at, INT64(number * self.itemsize)))
        return self._load(self.builder.add(at, INT64(number * self.size)))

    def _value(self, number: int, i, t):
        """Return input i of a layer at step t of the chunk."""
        if number > 0:
            return self._read(self.plan.values_at(number), i, t)
        return self._of_step(self.inputs, self.plan.own_samples, i, t)

    def _target(self, p, t):
        return self._of_step(self.targets, self.plan.own_targets, p, t)

    def _factor(self, t):
        return self._of_step(self.factors, False, INT64(0), t)

    def _of_step(self, base, own: bool, number, t):
        builder = self.builder
        each = own or self.plan.lanes_are_runs
        at = builder.add(builder.mul(number, INT64(RUN)), builder.add(self.begin, t))
        size = self.size if each else self.itemsize
        at = builder.add(base, builder.mul(at, INT64(size)))
        return self._load(at) if each else self._spread(at)

    def _place(self, first: int, unit, t):
        builder = self.builder
        number = builder.add(builder.mul(unit, INT64(self.plan.steps)), t)
        number = builder.add(number, INT64(first))
        return builder.add(self.scratch, builder.mul(number, INT64(self.size)))

    def _read(self, first: int, unit, t):
        return self._load(self._place(first, unit, t))

    def _write(self, first: int, unit, t, value) -> None:
        self._store(self._unless_ended(value, t), self._place(first, unit, t))

    def _unless_ended(self, value, t):
        """Return a value, but 0 in lanes whose run has ended, so that they add nothing."""
        if not self.plan.lanes_are_runs or self.plan.of_samples:
            return value
        builder = self.builder
        kind = ir.VectorType(INT64, self.plan.lanes)
        lengths = builder.load(builder.inttoptr(self.lengths, kind.as_pointer()), align=8)
        step = emit_splat(builder, builder.add(self.begin, t), kind)
        return builder.select(builder.icmp_signed("<", step, lengths), value, self.zero)

    def _load(self, at):
        pointer = self.builder.inttoptr(at, self.vector.as_pointer())
        return self.builder.load(pointer, align=self.itemsize)

    def _store(self, value, at) -> None:
        pointer = self.builder.inttoptr(at, self.vector.as_pointer())
        self.builder.store(value, pointer, align=self.itemsize)

    def _spread(self, at):
        pointer = self.builder.inttoptr(at, self.real.as_pointer())
        value = self.builder.load(pointer, align=self.itemsize)
        return emit_splat(self.builder, value, self.vector)
