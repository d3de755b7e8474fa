"""Arrays of other libraries, and the adapter in this package that handles each library.

The libraries are never imported to find out: arguments cannot contain arrays of a library that has
not been imported.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

import numpy as np

from multisubnet._arrays import namespaces

P = ParamSpec("P")
R = TypeVar("R")

# The adapter for each class of arrays. An adapter has functions with the names and arguments of
# the public functions it supports. They are called if an argument is one of the adapter's arrays.
_ADAPTERS: dict[tuple[str, str], str] = {
    ("jax", "Array"): "jax",
    ("jax.core", "Tracer"): "jax",  # stands for an array inside jax.jit, jax.grad, jax.vmap
    ("torch", "Tensor"): "torch",
    ("torch.fx", "Proxy"): "torch",  # stands for a tensor in torch.fx.symbolic_trace
    ("dask.array", "Array"): "dask",
}

USUAL = {np.ndarray, bool, int, float, str, type(None)}
_NATIVE = (np.ndarray, np.generic, bool, int, float, complex, str, list, tuple, type(None))


def adapted(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a public function so that arrays of other libraries go to their adapter."""
    return _wrapped(function, converts=False)


def adapted_or_converted(function: Callable[P, R]) -> Callable[P, R]:
    """Do the same, but if the adapter has no such function, convert its arrays to NumPy arrays."""
    return _wrapped(function, converts=True)


def _wrapped(function: Callable[P, R], converts: bool) -> Callable[P, R]:
    name = function.__name__

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        arguments = *args, *kwargs.values()
        adapter = None if USUAL.issuperset(map(type, arguments)) else of(arguments)
        if adapter is None or (converts and not hasattr(_load(adapter), name)):
            return function(*args, **kwargs)
        return function_of(adapter, name)(*args, **kwargs)

    return wrapper


def known_to_compilers(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that torch.compile calls while tracing, instead of tracing into it.

    Its arguments are constants, and its result becomes a constant in the graph. This is what
    `torch.compiler.assume_constant_result` does, but without importing PyTorch.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def of(arguments: Iterable[Any]) -> str | None:
    """Return the name of the adapter for these arguments, or None.

    Raises TypeError if they contain arrays of two libraries.
    """
    return _of_types(*[type(argument) for argument in arguments])


@known_to_compilers
def _of_types(*types: type) -> str | None:
    return _adapter_of(types)


@functools.cache
def _adapter_of(types: tuple[type, ...]) -> str | None:
    found = None
    for cls in types:
        adapter = _of_type(cls)
        if adapter is not None and adapter != found:
            if found is not None:
                raise TypeError(
                    f"arrays of several libraries are mixed ({found}, {adapter}): convert them to "
                    f"one library"
                )
            found = adapter
    return found


def function_of(adapter: str, name: str) -> Callable[..., Any]:
    """Return the adapter's function of this name."""
    module = sys.modules[_imported(adapter)]
    if not hasattr(module, name):
        raise TypeError(f"{name} does not take arrays of {adapter}: pass NumPy or CuPy arrays")
    return getattr(module, name)


@known_to_compilers
def _imported(adapter: str) -> str:
    return _load(adapter).__name__


@functools.cache
def _load(adapter: str) -> ModuleType:
    room = "_functions." if adapter == "array_api" else ""
    return importlib.import_module(f"multisubnet.{room}{adapter}")


def _of_type(cls: type) -> str | None:
    """Return the adapter for arrays of this class, or None."""
    if issubclass(cls, _NATIVE):
        return None
    for (library, name), adapter in _ADAPTERS.items():
        module = sys.modules.get(library)
        if hasattr(module, name) and issubclass(cls, getattr(module, name)):
            return adapter
    if hasattr(cls, "__dlpack__"):
        return "array_api" if is_foreign(cls) else None  # type: ignore[arg-type]
    return None


@functools.cache
def is_foreign(cls: type) -> bool:
    """Return whether arrays of this class are read through DLPack.

    An array without an array namespace that can convert itself to NumPy is an ordinary array_like.
    """
    is_native = issubclass(cls, np.ndarray | np.generic) or namespaces.is_class_of_cupy(cls)
    if is_native or not hasattr(cls, "__dlpack_device__"):
        return False
    has_namespace = hasattr(cls, "__array_namespace__") or library_of(cls) is not None
    return has_namespace or not hasattr(cls, "__array__")


def library_of(cls: type) -> Any:
    """Return the library of a class if its arrays support DLPack, else None."""
    module = sys.modules.get(cls.__module__.partition(".")[0])
    return module if hasattr(module, "from_dlpack") else None
