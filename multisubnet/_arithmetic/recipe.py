"""The language in which elementwise functions are written once for all backends.

A recipe is a Python function of `Real`s. It is called once, with Reals that stand for arbitrary
numbers of a format, and recorded as a `Program`: the list of its operations, without branches.
NumPy runs a program on arrays (_backends/programs.py), Numba compiles it to vector instructions
(_backends/numba/llvm), and CUDA compiles it as C++ (_backends/cupy/printing.py). Each operation is
rounded once, so all give the same bits. (Only `times_exactly` may be left unrounded.)

A format is the name of a dtype: float32 or float64, whose numbers can be read as unsigned integers,
or an integer dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Operation(NamedTuple):
    """One step of a program. `inputs` are the numbers of earlier steps, unless the table differs.

    ========================  =======  ============================================
    name                      kind     inputs
    ========================  =======  ============================================
    input                     real     a name: an input of the recipe
    constant                  any      the value
    add, subtract, multiply,  real     two real
    divide
    multiply_exactly          real     two real: see `Real.times_exactly`
    less, less_equal          boolean  two real; False beside a NaN
    select                    real     a boolean; the value if it is true; the value if not
    bits, from_bits           bits     a real; and back
    add, subtract, and, or,   bits     two bits: unsigned integers as wide as the
    shift_left, shift_right            format, wrapping
    ========================  =======  ============================================
    """

    name: str
    kind: str
    inputs: tuple[Any, ...]

    @property
    def uses(self) -> tuple[int, ...]:
        """The numbers of the operations that it uses."""
        return () if self.name in ("input", "constant") else self.inputs


class Program(NamedTuple):
    """The operations of a recipe in a format, with precomputed properties.

    `results` are the numbers of the operations that are the results; `cost` is the number of
    arithmetic operations; `last_uses` has, for each operation, the number of the last operation
    that uses it.
    """

    dtype: np.dtype
    operations: tuple[Operation, ...]
    results: tuple[int, ...]
    cost: int
    last_uses: tuple[int, ...]


def trace(
    recipe: Callable[..., tuple[Real, ...]], dtype: np.dtype, names: tuple[str, ...]
) -> Program:
    """Return the program of a recipe in a format; `names` are its inputs."""
    tracer = _Tracer()
    results = recipe(*(tracer.value("input", "real", name) for name in names))
    operations, numbers = tracer.needed_for([result.number for result in results])
    cost = sum(bool(operation.uses) for operation in operations)
    last_uses = list(range(len(operations)))
    for number, operation in enumerate(operations):
        for i in operation.uses:
            last_uses[i] = number
    for number in numbers:
        last_uses[number] = len(operations)
    return Program(dtype, operations, numbers, cost, tuple(last_uses))


class _Tracer:
    """Records operations; equal operations on equal values are recorded once."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.numbers: dict[str, int] = {}

    def value(self, name: str, kind: str, *inputs: Any) -> Any:
        """Return the value of an operation."""
        operation = Operation(name, kind, inputs)
        # repr distinguishes 0.0 from -0.0.
        number = self.numbers.setdefault(repr(operation), len(self.operations))
        if number == len(self.operations):
            self.operations.append(operation)
        return _KINDS[kind](self, number)

    def needed_for(self, results: list[int]) -> tuple[tuple[Operation, ...], tuple[int, ...]]:
        """Return the operations that results depend on, renumbered, and the results' numbers."""
        needed = set(results)
        for number in range(max(results), -1, -1):
            if number in needed:
                needed.update(self.operations[number].uses)
        new = {number: i for i, number in enumerate(sorted(needed))}
        operations = tuple(
            operation._replace(inputs=tuple(new[i] for i in operation.uses) or operation.inputs)
            for operation in (self.operations[number] for number in new)
        )
        return operations, tuple(new[result] for result in results)


class _Value:
    _kind = ""

    def __init__(self, tracer: _Tracer, number: int) -> None:
        self.tracer = tracer
        self.number = number

    def _do(self, name: str, kind: str, *others: Any) -> Any:
        operands = (self, *(x if isinstance(x, _Value) else self.constant(x) for x in others))
        return self.tracer.value(name, kind, *(operand.number for operand in operands))

    def constant(self, value: float) -> Any:
        """Return a constant of the same kind."""
        return self.tracer.value("constant", self._kind, value)


class Real(_Value):
    """A number of the format. Constants are rounded to it."""

    _kind = "real"

    def __add__(self, other: Real | float) -> Real:
        return self._do("add", "real", other)

    def __sub__(self, other: Real | float) -> Real:
        return self._do("subtract", "real", other)

    def __mul__(self, other: Real | float) -> Real:
        return self._do("multiply", "real", other)

    def times_exactly(self, other: Real | float) -> Real:
        """Return the product, for sums whose results do not depend on whether it is rounded.

        The product needs no rounding, or only if it is so small that the recipe's result does not
        depend on it. A backend may therefore fuse the multiplication and the addition.
        """
        return self._do("multiply_exactly", "real", other)

    def __truediv__(self, other: Real | float) -> Real:
        return self._do("divide", "real", other)

    def __rsub__(self, other: float) -> Real:
        return self.constant(other) - self

    def __rtruediv__(self, other: float) -> Real:
        return self.constant(other) / self

    __radd__ = __add__
    __rmul__ = __mul__

    def __lt__(self, other: Real | float) -> Boolean:
        return self._do("less", "boolean", other)

    def __le__(self, other: Real | float) -> Boolean:
        return self._do("less_equal", "boolean", other)

    def __gt__(self, other: Real | float) -> Boolean:
        return (other if isinstance(other, Real) else self.constant(other)) < self

    def __ge__(self, other: Real | float) -> Boolean:
        return (other if isinstance(other, Real) else self.constant(other)) <= self

    @property
    def bits(self) -> Bits:
        """The bits of the number."""
        return self._do("bits", "bits")


class Bits(_Value):
    """An unsigned integer as wide as the format."""

    _kind = "bits"

    def __add__(self, other: Bits | int) -> Bits:
        return self._do("add", "bits", other)

    def __sub__(self, other: Bits | int) -> Bits:
        return self._do("subtract", "bits", other)

    def __and__(self, other: Bits | int) -> Bits:
        return self._do("and", "bits", other)

    def __or__(self, other: Bits | int) -> Bits:
        return self._do("or", "bits", other)

    def __lshift__(self, other: int) -> Bits:
        return self._do("shift_left", "bits", other)

    def __rshift__(self, other: int) -> Bits:
        return self._do("shift_right", "bits", other)

    @property
    def real(self) -> Real:
        """The number with these bits."""
        return self._do("from_bits", "real")


class Boolean(_Value):
    """The result of a comparison."""

    _kind = "boolean"

    def select(self, yes: Any, no: Any) -> Real:
        """Return `yes` if this is true, else `no`; at least one of them is a Real."""
        given = yes if isinstance(yes, Real) else no
        yes, no = (x if isinstance(x, Real) else given.constant(x) for x in (yes, no))
        return self._do("select", "real", yes, no)


_KINDS = {kind._kind: kind for kind in (Real, Bits, Boolean)}
