"""Layers of networks for any contents of the lanes: their sums, and their activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import cgutils

from multisubnet._arithmetic.activation import program_of
from multisubnet._backends.numba.llvm.programs import SHORT, emit_program, recipe_function
from multisubnet._backends.numba.llvm.vectors import INT8, INT32, INT64, emit_splat

_STEP = 4  # inputs in the innermost loop of a long sum

DOUBLE = ir.DoubleType()


class Plan(NamedTuple):
    """The properties of networks that are known at compile time.

    `sizes` are the inputs and the outputs of each layer, `activations` their keys, `biased` whether
    there is a bias; `lanes` is the number of lanes of a vector. If lanes are samples, a tile has
    this many `vectors` of them; if `lanes_are_units`, this many samples share the loaded weights.
    """

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    biased: tuple[bool, ...]
    additive: bool
    lanes: int
    vectors: int
    lanes_are_units: bool

    def __str__(self) -> str:
        numbers = self.additive, self.lanes, self.vectors, self.lanes_are_units
        parts = self.sizes, self.activations, map(int, self.biased), map(int, numbers)
        return ";".join(",".join(map(str, part)) for part in parts)

    @staticmethod
    def read(text: str) -> Plan:
        """Return the plan that a text begins with."""
        sizes, activations, biased, numbers = (x.split(",") for x in text.split()[0].split(";"))
        additive, lanes, vectors, lanes_are_units = map(int, numbers)
        return Plan(
            tuple(map(int, sizes)),
            tuple(activations),
            tuple(x == "1" for x in biased),
            bool(additive),
            lanes,
            vectors,
            bool(lanes_are_units),
        )


class LayerEmitter:
    """Emits sums and activations at the position of `builder`."""

    def __init__(self, builder: ir.IRBuilder, dtype: Any, real: ir.Type, plan: Plan):
        self.builder, self.dtype, self.real, self.plan = builder, dtype, real, plan
        self.itemsize = dtype.itemsize

    def add_inputs(
        self, sums: list[Any], begin: int, n_in: int, is_straight: bool, add_input: Callable
    ) -> list[Any]:
        """Return the sums with the inputs from `begin` on added, one after the other.

        ``add_input(i, sums)`` returns them with input i added; i is an int, or a value in a loop.
        """
        builder = self.builder
        looped = 0 if is_straight else (n_in - begin) // _STEP * _STEP
        if looped > _STEP:
            places = [cgutils.alloca_once(builder, total.type) for total in sums]

            def store(values):
                for place, value in zip(places, values, strict=True):
                    builder.store(value, place)

            store(sums)
            start, stop = INT64(begin), INT64(begin + looped)
            with cgutils.for_range_slice(builder, start, stop, INT64(_STEP), INT64) as (i, _):
                inside = [builder.load(place) for place in places]
                for step in range(_STEP):
                    inside = add_input(builder.add(i, INT64(step)), inside)
                store(inside)
            sums = [builder.load(place) for place in places]
            begin += looped
        for i in range(begin, n_in):
            sums = add_input(i, sums)
        return sums

    def activation(self, key: str, parameters: ir.Value, number: int) -> Callable:
        """Return a function that emits the activation of a layer for vectors of one type."""
        builder = self.builder
        if key == "linear":
            return lambda vectors: vectors
        program = program_of(key, self.dtype)
        at = self.offset(parameters, (number, 8))
        parameter = builder.load(builder.inttoptr(at, DOUBLE.as_pointer()))
        if self.real != DOUBLE:
            parameter = builder.fptrunc(parameter, self.real)

        def inline(vectors):
            spread = emit_splat(builder, parameter, vectors[0].type)
            rows = [{"x": x, "parameter": spread} for x in vectors]
            return [result for (result,) in emit_program(builder, program, rows)]

        def call(vectors):
            found = []
            for i in range(0, len(vectors), 4):
                part = vectors[i : i + 4]
                function = recipe_function(
                    builder.module, program, key, self.real, part[0].type.count, len(part)
                )
                results = builder.call(function, [*part, parameter])
                found += [builder.extract_value(results, j) for j in range(len(part))]
            return found

        return inline if program.cost <= SHORT else call

    def load(self, at: ir.Value, vector: ir.Type) -> ir.Value:
        pointer = self.builder.inttoptr(at, vector.as_pointer())
        return self.builder.load(pointer, align=self.itemsize)

    def store(self, at: ir.Value, vector: ir.Value) -> None:
        pointer = self.builder.inttoptr(at, vector.type.as_pointer())
        self.builder.store(vector, pointer, align=self.itemsize)

    def add_doubles(self, at: ir.Value, vector: ir.Value) -> None:
        """Add a vector to float64 at an address."""
        wide = ir.VectorType(DOUBLE, vector.type.count)
        pointer = self.builder.inttoptr(at, wide.as_pointer())
        if wide != vector.type:
            vector = self.builder.fpext(vector, wide)
        total = self.builder.load(pointer, align=8)
        self.builder.store(self.builder.fadd(total, vector), pointer, align=8)

    def feature(self, row: ir.Value, wiring: ir.Value, i: Any, step: ir.Value) -> ir.Value:
        """Return the address, in a row of features of `step` bytes, of input i."""
        at = self.builder.inttoptr(self.offset(wiring, (i, 8)), INT64.as_pointer())
        number = self.builder.load(at)
        return self.builder.add(row, self.builder.mul(number, step))

    def prefetch(self, at: ir.Value) -> None:
        """Prefetch a line into the L2 cache, if there is memory at the address."""
        kind = ir.FunctionType(ir.VoidType(), [INT8.as_pointer(), INT32, INT32, INT32])
        name = "llvm.prefetch.p0i8"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        place = self.builder.inttoptr(at, INT8.as_pointer())
        self.builder.call(function, [place, INT32(0), INT32(2), INT32(1)])

    def offset(self, at: ir.Value, *steps: tuple[Any, int]) -> ir.Value:
        for index, step in steps:
            at = self.builder.add(at, self.times(index, INT64(step)))
        return at

    def times(self, index: Any, step: ir.Value) -> ir.Value:
        index = index if isinstance(index, ir.Value) else INT64(index)
        return self.builder.mul(index, step)
