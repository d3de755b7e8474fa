"""Sets of weights in files: arrays and text, and nothing that could be executed.

A .npz file has the arrays `weight`, `bias` (if there is one), `activation` (a text) and
`format_version` (an integer). A .safetensors file has the first two as tensors, and the others in
its metadata, with a checksum, which that format has not of its own.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multisubnet._arithmetic.activation import PARAMETERS, Activation
from multisubnet._files import atomic, npy, safetensors

_FORMAT = 1
_ARRAYS = ("weight", "bias")
_NOTES = ("activation", "format_version")
_CHECKSUM = "crc32"
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
            npy.check_has(path, name, array.dtype)
        notes = {"activation": np.array(text), "format_version": np.array(_FORMAT)}
        with atomic.replacing(path) as file:
            npy.write_members(file, arrays | notes)
    else:
        metadata = {"activation": text, "format_version": str(_FORMAT)}
        safetensors.write(path, arrays, metadata | {_CHECKSUM: _checksum(arrays, metadata)})


def load(
    path: str | os.PathLike[str],
) -> tuple[np.ndarray, np.ndarray | None, Activation | None]:
    """Return weight, bias and activation, None where the file has none."""
    entries, notes = (_read_npz if _suffix(path) == ".npz" else _read_safetensors)(Path(path))
    for name, array in entries.items():
        if array.ndim != 2 or array.dtype.kind == "U":
            raise ValueError(
                f"{name} in {path} has shape {array.shape} and dtype {array.dtype}; expected "
                f"numbers of shape (N, F)"
            )
    activation = _activation(path, notes["activation"]) if notes else None
    return entries["weight"], entries.get("bias"), activation


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return weight and perhaps bias, and the notes, if there are any."""
    entries = npy.members(path, lambda names: _checked_names(path, names, _NOTES))
    notes = {name: _note(path, name, entries.pop(name)) for name in _NOTES if name in entries}
    _check_version(path, notes)
    return entries, notes


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the same."""
    entries, metadata = safetensors.read(path, lambda names: _checked_names(path, names, ()))
    ours = *_NOTES, _CHECKSUM
    notes = {name: metadata[name] for name in ours if name in metadata}
    _check_version(path, notes)
    if notes:
        # Every file of ours has all three: a damaged name must not make it a file of others.
        if len(notes) < len(ours):
            raise ValueError(
                f"{path} is damaged: its metadata has {', '.join(notes)}; expected all or none of "
                f"{', '.join(ours)}"
            )
        if notes.pop(_CHECKSUM) != _checksum(entries, notes):
            raise ValueError(f"{path} is damaged: its checksum does not match")
    return entries, notes


def _check_version(path: Path, notes: dict[str, Any]) -> None:
    version = notes.get("format_version", _FORMAT)
    if str(version) != str(_FORMAT):
        raise ValueError(
            f"{path} has the format version {version!r}, and this version of multisubnet reads "
            f"{_FORMAT}"
        )


def _suffix(path: Any) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise ValueError(f"{path} must end in .npz or .safetensors, to hold sets of weights")
    return suffix


def _checked_names(path: Any, names: list[str], notes: Sequence[str]) -> list[str]:
    """Return the names of the arrays of a file, which must be those of sets and of all notes."""
    unknown = set(names) - {*_ARRAYS, *notes}
    n_notes = sum(name in names for name in notes)
    if "weight" not in names or unknown or n_notes not in (0, len(notes)):
        shown = ", ".join(sorted(names))[:200] or "nothing"
        raise ValueError(
            f"{path} has {shown}; expected sets of weights: the array weight, "
            f"perhaps bias, and, both or neither, activation and format_version"
        )
    return names


def _note(path: Any, name: str, array: np.ndarray) -> Any:
    """Return a text or a number that a .npz file has as an array."""
    if array.ndim:
        raise ValueError(f"{name} in {path} has shape {array.shape}; expected ()")
    return array.item()


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
