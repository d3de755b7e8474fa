"""Sets of weights in files: arrays and text, and nothing that could be executed.

A .npz file has the arrays `weight`, `bias` (if there is one), `activation` (a text) and
`format_version` (an integer). A .safetensors file has the first two as tensors, and the others in
its metadata, with a checksum, which that format has not of its own.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from multisubnet._arithmetic.activation import PARAMETERS, Activation
from multisubnet._files import atomic as _replace
from multisubnet._files import npy as _npy
from multisubnet._files import safetensors as _safetensors

_FORMAT = 1
_ARRAYS = ("weight", "bias")
_NOTES = ("activation", "format_version")
_SUFFIXES = (".npz", ".safetensors")


def save(
    path: str | os.PathLike[str],
    weight: np.ndarray,
    bias: np.ndarray | None,
    activation: Activation,
) -> None:
    """Write sets to a file, which stands there whole or not at all."""
    suffix = _suffix(path)
    arrays = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    text = _text(activation)
    if suffix == ".npz":
        for name, array in arrays.items():
            _npy.check_has(path, name, array.dtype)
        notes = {"activation": np.array(text), "format_version": np.array(_FORMAT)}
        with _replace.replacing(path) as file:
            np.savez(file, **arrays, **notes)  # type: ignore[arg-type]
    else:
        metadata = {"activation": text, "format_version": str(_FORMAT)}
        _safetensors.write(path, arrays, metadata | {"crc32": _checksum(arrays, metadata)})


def load(
    path: str | os.PathLike[str],
) -> tuple[np.ndarray, np.ndarray | None, Activation | None]:
    """Return weight, bias and activation, None where the file has none."""
    suffix, place = _suffix(path), Path(path)
    notes: dict[str, Any]
    if suffix == ".npz":
        entries = _npy.members(place)
        notes = {name: entries.pop(name).tolist() for name in _NOTES if name in entries}
    else:
        entries, notes = _safetensors.read(place)
        notes = {name: notes[name] for name in (*_NOTES, "crc32") if name in notes}
    _check_names(path, entries, [name for name in _NOTES if name in notes])
    activation = None
    if notes:
        if str(notes["format_version"]) != str(_FORMAT):
            raise ValueError(
                f"{path} has the format version {notes['format_version']!r}, and this version of "
                f"multisubnet reads {_FORMAT}"
            )
        checksum = notes.pop("crc32", None)
        if checksum is not None and checksum != _checksum(entries, notes):
            raise ValueError(f"{path} is damaged: its checksum does not match")
        activation = _activation(path, notes["activation"])
    return entries["weight"], entries.get("bias"), activation


def _suffix(path: Any) -> str:
    suffix = Path(path).suffix
    if suffix not in _SUFFIXES:
        raise ValueError(f"{path} must end in .npz or .safetensors, to hold sets of weights")
    return suffix


def _check_names(path: Any, arrays: dict[str, np.ndarray], notes: list[str]) -> None:
    unknown = sorted(set(arrays) - set(_ARRAYS))
    if "weight" not in arrays or unknown or len(notes) not in (0, len(_NOTES)):
        names = ", ".join(sorted([*arrays, *notes])) or "nothing"
        raise ValueError(
            f"{path} has {names[:200]}; expected sets of weights: the array weight, "
            f"perhaps bias, and, both or neither, activation and format_version"
        )
    for name, array in arrays.items():
        if array.ndim != 2 or array.dtype.kind == "U":
            raise ValueError(
                f"{name} in {path} has shape {array.shape} and dtype {array.dtype}; expected "
                f"numbers of shape (N, F)"
            )


def _text(activation: Activation) -> str:
    """Return an activation as JSON; its parameter is read again as the same number."""
    state = {
        "name": activation.name,
        "parameter": activation.parameter,
        "is_derivative": activation.is_derivative,
    }
    return json.dumps(state)


def _activation(path: Any, text: Any) -> Activation:
    """Return the activation that a text says."""
    try:
        state = json.loads(text)
        name, parameter, is_derivative = (
            state.pop(key) for key in ("name", "parameter", "is_derivative")
        )
        if state or not isinstance(is_derivative, bool):
            raise ValueError("other fields than name, parameter and is_derivative")
        expected, _ = PARAMETERS.get(name, (None, None))
        parameters = {} if parameter is None and expected is None else {str(expected): parameter}
        activation = Activation(name, **parameters)
        return activation.derivative if is_derivative else activation
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"activation in {path} is {str(text)[:200]!r}, which is none: {error}"
        ) from None


def _checksum(arrays: dict[str, np.ndarray], notes: dict[str, str]) -> str:
    """Return the CRC-32 of all that sets are."""
    kinds = {name: [str(array.dtype), array.shape] for name, array in arrays.items()}
    checksum = zlib.crc32(json.dumps([notes, kinds], sort_keys=True).encode())
    for name in sorted(arrays):
        checksum = zlib.crc32(
            np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data, checksum
        )
    return f"{checksum:08x}"
