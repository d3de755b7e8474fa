"""What is timed on a GPU: this library, and what else computes the same, and two limits.

A contender's setup gets a task, its operands as CuPy arrays, and `outs`, the results that take
turns: what its library can write into (see `Library.results`), or [None] where a new result is
made. It returns a call for each of them, which does not wait for its work. Libraries are imported
where they are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import contenders
from contenders import OURS, Call, Contender, fastest
from gpu_libraries import (
    CUPY,
    JAX,
    PYTORCH,
    PYTORCH_WITH_GRADIENTS,
    Library,
    free,
    is_out_of_memory,
)
from reductions import jax_forms, torch_backward, torch_forms, torch_in_one_graph
from reference import reduced
from tasks import MEAN_LOSSES, Task

import multisubnet as ms

_L2_ELEMENTS = 1 << 22  # that may lie between two passes, in a cache
_MOST_ELEMENTS = 1 << 28  # and in memory


@dataclass(frozen=True)
class GpuContender(Contender):
    """One way to compute the result on a GPU, or (where it checks nothing) to move its bytes."""

    library: Library = CUPY
    moves: int = 1  # times the bytes of the result that are read or written

    @property
    def is_checked(self) -> bool:
        """Whether it computes a result."""
        return not self.is_limit and self.moves == 1


CONTENDERS: list[GpuContender] = []


def contender(name: str, library: Library = CUPY, **options: Any) -> Callable[..., Any]:
    """Decorate a setup to add it to the contenders."""

    def add(setup: Callable[..., list[Call]]) -> Callable[..., list[Call]]:
        CONTENDERS.append(
            GpuContender(name, setup, requires=(library.module,), library=library, **options)
        )
        return setup

    return add


def is_there(contender: GpuContender) -> bool:
    """Whether a contender's library is there and works on the GPU; says so where it does not."""
    if not contenders.is_there(contender):
        return False
    try:
        why = contender.library.why_unusable()
    except Exception as error:  # a broken installation fails in many ways
        why = f"{type(error).__name__}: {error}"
    if why is not None:
        print(f"{contender.name} is left out: {' '.join(why.split())}")
    return why is None


def _placed(task: Task, samples: Any, weight: Any, bias: Any) -> tuple[Any, Any, Any]:
    """Return operands that broadcast to the shape of the result."""
    if task.set_axis:
        return samples[:, None], weight, bias
    return samples, weight[:, None], bias[:, None]


# The limits.


@contender("fill by a kernel", is_limit=True)
def _fill(task, *operands, outs):
    return [partial(out.fill, 1) for out in outs]  # 0 would be a memset


@contender("fill by cudaMemsetAsync", is_limit=True)
def _memset(task, *operands, outs):
    return [partial(out.data.memset_async, 0, out.nbytes) for out in outs]


@contender("copy, read and written", moves=2)
def _copy(task, *operands, outs):
    sources = outs[1:] + outs[:1]
    return [
        partial(out.data.copy_from_device_async, source.data, out.nbytes)
        for out, source in zip(outs, sources, strict=True)
    ]


# This library.


@contender(OURS, functions=("affine", *MEAN_LOSSES))
def _multisubnet(task, *operands, outs):
    call = partial(getattr(ms, task.function), *operands, **task.options)
    return [call if out is None else partial(call, out=out) for out in outs]


# CuPy.


@contender("CuPy expression")
def _cupy_expression(task, *operands, outs):
    import cupy

    samples, weight, bias = _placed(task, *operands)

    def into(out):
        cupy.multiply(samples, weight, out=out)
        cupy.add(out, bias, out=out)
        if task.activation == "relu":
            return cupy.maximum(out, 0, out=out)
        return cupy.tanh(out, out=out) if task.activation else out

    return [partial(into, out) for out in outs]


@contender("cupy.fuse")
def _cupy_fuse(task, *operands, outs):
    import cupy

    operands = _placed(task, *operands)

    @cupy.fuse
    def fused(x, w, b, out):
        z = x * w + b
        if task.activation == "relu":
            z = cupy.maximum(z, 0)
        elif task.activation:
            z = cupy.tanh(z)
        out[...] = z

    def into(out):
        fused(*operands, out)
        return out

    return [partial(into, out) for out in outs]


_OPERATIONS = {
    None: "out = x * w + b",
    "relu": "T z = x * w + b; out = z > T(0) ? z : T(0)",
    "tanh": "out = tanh(x * w + b)",
}


@contender("cupy.ElementwiseKernel")
def _cupy_kernel(task, *operands, outs):
    import cupy

    operation = _OPERATIONS[task.activation]
    kernel = cupy.ElementwiseKernel("T x, T w, T b", "T out", operation, "affine_elementwise")
    return [partial(kernel, *_placed(task, *operands), out) for out in outs]


# PyTorch and JAX.


@contender("torch.addcmul", PYTORCH)
def _torch_addcmul(task, *operands, outs):
    import torch

    samples, weight, bias = _placed(task, *PYTORCH.adopt(*operands))
    if task.activation is None:
        return [partial(torch.addcmul, bias, samples, weight, out=out) for out in outs]
    in_place = getattr(torch, f"{task.activation}_")
    return [lambda out=out: in_place(torch.addcmul(bias, samples, weight, out=out)) for out in outs]


@contender("torch.compile", PYTORCH)
def _torch_compile(task, *operands, outs):
    import torch

    operands = _placed(task, *PYTORCH.adopt(*operands))
    function = getattr(torch, task.activation) if task.activation else None

    @partial(torch.compile, dynamic=False)
    def into(x, w, b, out):
        return out.copy_(function(x * w + b)) if function else torch.add(x * w, b, out=out)

    return [partial(into, *operands, out) for out in outs]


# Its events cannot be had: it is timed from outside.
_JAX_NAME = "jax.jit(vmap), wall time"


@contender(_JAX_NAME, JAX)
def _jax(task, *operands, outs):
    import jax

    operands = JAX.adopt(*operands)
    function = getattr(jax.nn, task.activation) if task.activation else lambda z: z

    @partial(jax.jit, donate_argnums=0, keep_unused=True)
    def replacing(_, x, w, b):
        return jax.vmap(lambda w, b: function(x * w + b), out_axes=task.set_axis)(w, b)

    def into(place):
        place[0] = replacing(place[0], *operands)
        return place[0]

    return [partial(into, out) for out in outs]


# Mean losses and their gradients.


def _fastest(candidates: list[Call], library: Library) -> list[Call]:
    """Return the fastest of those calls for which there is memory."""
    fitting = []
    for call in candidates:
        try:
            library.wait(call())
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            free()
        else:
            fitting.append(call)
    if not fitting:
        raise MemoryError("no form of it fits into the GPU's memory")
    return [fastest(fitting, library.wait)]


@contender("CuPy expression", functions=MEAN_LOSSES)
def _cupy_losses(task, samples, weight, bias, *targets, outs):
    import cupy

    def call(chunk):
        results = [
            reduced(task, samples, weight[n : n + chunk], bias[n : n + chunk], *targets)
            for n in range(0, len(weight), chunk)
        ]
        return tuple(map(cupy.concatenate, zip(*results, strict=True)))

    chunks = {max(1, at_once // samples.size) for at_once in (_L2_ELEMENTS, _MOST_ELEMENTS)}
    return _fastest([partial(call, chunk) for chunk in sorted(chunks)], CUPY)


@contender("torch.compile", PYTORCH, functions=("mean_loss",))
def _torch_losses(task, *operands, outs):
    import torch

    return _fastest(
        [
            partial(torch.compile(losses, dynamic=False), *layout)
            for losses, layout in torch_forms(task, operands, PYTORCH.adopt)
        ],
        PYTORCH,
    )


@contender("torch.compile", PYTORCH_WITH_GRADIENTS, functions=("mean_loss_and_grad",))
def _torch_gradients(task, *operands, outs):
    candidates: list[Call] = []
    for losses, layout in torch_forms(task, operands, PYTORCH.adopt):
        candidates += [
            torch_backward(losses, *layout),
            torch_in_one_graph(losses, len(operands[1]), *layout),
        ]
    return _fastest(candidates, PYTORCH)


@contender(_JAX_NAME, JAX, functions=MEAN_LOSSES)
def _jax_losses(task, *operands, outs):
    import jax

    return _fastest(
        [
            partial(jax.jit(jax.vmap(of_set, (0, 0, None, None))), *JAX.adopt(*layout))
            for of_set, layout in jax_forms(task, operands)
        ],
        JAX,
    )
