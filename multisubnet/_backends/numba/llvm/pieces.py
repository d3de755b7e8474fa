"""Calls of a compiled function for each piece of work, on any of the threads."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable

from llvmlite import ir
from numba.core import cgutils, compiler, types
from numba.extending import intrinsic

from multisubnet._backends.numba.llvm.vectors import INT32, INT64

_MAKERS: dict[str, Callable[[str], Callable[..., None]]] = {}


def piece(maker: Callable[[str], Callable[..., None]]) -> Callable[[str], Callable[..., None]]:
    """Decorate a function that makes piece functions from a constant; `hand_out` looks it up."""
    _MAKERS[maker.__name__] = maker
    return maker


@intrinsic(prefer_literal=True)
def hand_out(typingctx, pool, n_pieces, seats, what, arguments):
    """Call ``function(index, *arguments)`` for all pieces, on this thread and up to `seats` more.

    `what` is a constant: the name of a maker, a space, and the constant passed to the maker. A
    single piece is done on this thread. If the second parameter of the function is `worker`, it is
    told which thread it runs on: 0 is the caller, 1 the first helper of the pool.
    """
    name, _, rest = what.literal_value.partition(" ")
    function = _MAKERS[name](rest)
    # If functions in several cached files have the same name, LLVM uses the first one it saw.
    function.__qualname__ = f"{function.__name__}_{zlib.crc32(what.literal_value.encode())}"
    numbers = 1 + (list(inspect.signature(function).parameters)[1] == "worker")
    of_piece = types.void(*[types.intp] * numbers, *arguments)

    def codegen(context, builder, signature, values):
        pool, n_pieces, seats, _, given = values
        compiled = _compile_here(context, function, of_piece)
        place = cgutils.alloca_once_value(builder, given)

        # The function in C form: int piece(void *arguments, intptr_t index, intptr_t worker).
        kind = ir.FunctionType(INT32, [INT64] * 3)
        in_c = ir.Function(builder.module, kind, f"{builder.function.name}.piece")
        in_c.linkage = "internal"
        inside = ir.IRBuilder(in_c.append_basic_block())
        address, *index_and_worker = in_c.args
        given = cgutils.unpack_tuple(inside, inside.load(inside.inttoptr(address, place.type)))
        status, _ = context.call_internal_no_propagate(
            inside, compiled.fndesc, of_piece, [*index_and_worker[:numbers], *given]
        )
        inside.ret(inside.zext(status.is_error, INT32))

        address = builder.ptrtoint(place, INT64)
        with builder.if_else(builder.icmp_signed("==", n_pieces, INT64(1))) as (single, several):
            with single:
                _raise(context, builder, builder.call(in_c, [address, INT64(0), INT64(0)]))
            with several:
                function_address = builder.ptrtoint(in_c, INT64)
                _run(context, builder, pool, function_address, address, n_pieces, seats)
        return context.get_dummy_value()

    return types.void(pool, n_pieces, seats, what, arguments), codegen


def _compile_here(context, function, signature):
    """Compile a function as a part of the library that is being compiled.

    `compile_subroutine` would optimize it and produce machine code twice: as a library of its own,
    which is used by this library alone, and as a part of this one.
    """
    library = context.active_code_library
    flags = compiler.Flags()
    flags.nrt = flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    compiled = compiler.compile_internal(
        *(context.typing_context, context, library, function),
        *(signature.args, signature.return_type, flags, {}),
    )
    library.get_function(compiled.fndesc.llvm_func_name).linkage = "linkonce_odr"
    return compiled


@intrinsic
def call_run(typingctx, pool, function, arguments, n_pieces, seats):
    """Call `run` of a pool for a C function as `call_piece` calls it."""

    def codegen(context, builder, signature, values):
        _run(context, builder, *values)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5), codegen


def _run(context, builder, pool, *arguments):
    kind = ir.FunctionType(INT32, [INT64] * (1 + len(arguments)))
    run = builder.load(builder.inttoptr(pool, INT64.as_pointer()))
    run = builder.inttoptr(run, kind.as_pointer())
    _raise(context, builder, builder.call(run, [pool, *arguments]))


def _raise(context, builder, status):
    """Raise the exception set in this thread if a status says so, or another one on failure."""
    zero = INT32(0)
    with builder.if_then(builder.icmp_signed("!=", status, zero), likely=False):
        with builder.if_then(builder.icmp_signed("<", status, zero)):
            context.call_conv.return_exc(builder)
        message = ("a piece of the work was not done",)
        context.call_conv.return_user_exc(builder, RuntimeError, message)
