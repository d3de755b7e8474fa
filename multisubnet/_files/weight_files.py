"""Weight sets in files: arrays and text, nothing that could be executed.

A .npz file of one weight and one bias per feature has the arrays `weight`, `bias` (optional),
`activation` (a text) and `format_version` (an integer). A file of networks has `layers.0.weight`,
`layers.0.bias` and `layers.0.activation`, the same for layers 1, 2 and so on, optionally `inputs`
and `intercept`, and `additive` (a text). Both may have `feature_names`, `output_names` and
`set_names`, each a JSON list as bytes. A .safetensors file stores numbers as tensors and the rest
in its metadata, together with a checksum, because that format has none.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from multisubnet._arithmetic.activation import PARAMETERS, Activation
from multisubnet._files import atomic, npy, safetensors

_FORMAT = 1
_VERSION = "format_version"
_CHECKSUM = "crc32"
_SUFFIXES = (".npz", ".safetensors")
_OF_NAMES = ["feature_names", "output_names", "set_names"]


class StoredSets(NamedTuple):
    """The contents of a file."""

    arrays: dict[str, np.ndarray]
    """By their names in the file."""
    activations: Sequence[Activation | None]
    """The activation of each layer. None, for a file without activations, is linear."""
    additive: bool = False


class _Names(NamedTuple):
    """The names of the entries in a file."""

    required: list[str]
    """Required arrays."""
    optional: list[str]
    """Optional arrays."""
    activations: list[str]
    """Texts, one per layer."""
    notes: list[str]
    """All entries that are not arrays of numbers."""

    @classmethod
    def among(cls, names: Iterable[str]) -> _Names:
        """Return the names for the kind of file that some of its names indicate."""
        names = set(names)
        n_layers = 0
        while f"layers.{n_layers}.weight" in names:
            n_layers += 1
        if not n_layers:
            return cls(["weight"], ["bias", *_OF_NAMES], ["activation"], ["activation", _VERSION])
        prefixes = [f"layers.{number}." for number in range(n_layers)]
        activations = [prefix + "activation" for prefix in prefixes]
        return cls(
            [prefix + "weight" for prefix in prefixes],
            [*(prefix + "bias" for prefix in prefixes), "inputs", "intercept", *_OF_NAMES],
            activations,
            [*activations, "additive", _VERSION],
        )


def save(path: str | os.PathLike[str], sets: StoredSets) -> None:
    """Write sets with known activations to a file, completely or not at all."""
    suffix = _suffix(path, "use sets.npz, for example")
    names = _Names.among(sets.arrays)
    texts = dict(zip(names.activations, map(_as_json, sets.activations), strict=True))
    if "additive" in names.notes:
        texts["additive"] = json.dumps(sets.additive)
    if suffix == ".npz":
        for name, array in sets.arrays.items():
            npy.check_has(path, name, array.dtype)
        notes = {name: np.array(text) for name, text in texts.items()}
        notes[_VERSION] = np.array(_FORMAT)
        with atomic.atomic_write(path) as file:
            npy.write_members(file, sets.arrays | notes)
    else:
        metadata = texts | {_VERSION: str(_FORMAT)}
        checksum = _checksum(sets.arrays, metadata)
        safetensors.write(path, sets.arrays, metadata | {_CHECKSUM: checksum})


def load(path: str | os.PathLike[str]) -> StoredSets:
    """Return the sets of a file; only names and texts are checked."""
    entries, notes = (_read_npz if _suffix(path, _TO_LOAD) == ".npz" else _read_safetensors)(
        Path(path)
    )
    for name, array in entries.items():
        if array.dtype.kind == "U" or (name in ("weight", "bias") and array.ndim != 2):
            raise ValueError(
                f"{name} in {path} has shape {array.shape} and dtype {array.dtype}; expected "
                f"numbers{' of shape (N, F)' * (name in ('weight', 'bias'))}"
            )
    names = _Names.among(entries)
    if not notes:
        if "additive" in names.notes:
            raise ValueError(
                f"{path} has networks of {len(names.required)} layers, but does not say which "
                f"activations they have; expected {', '.join(names.notes)[:200]}, as WeightSets."
                f"from_layers(layers, activation=...).save(path) writes them"
            )
        return StoredSets(entries, [None])
    activations = [_activation(path, name, notes[name]) for name in names.activations]
    additive = notes.get("additive", "false")
    if additive not in ("true", "false"):
        raise ValueError(f"additive in {path} is {str(additive)[:200]!r}; expected true or false")
    return StoredSets(entries, activations, additive == "true")


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays of numbers, and the notes, if present."""
    entries = npy.members(path, lambda names: _validate_names(path, names, has_notes=True))
    notes = {
        name: _read_scalar(path, name, entries.pop(name))
        for name in _Names.among(entries).notes
        if name in entries
    }
    _check_version(path, notes)
    return entries, notes


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays of numbers, and the notes, if present."""
    entries, metadata = safetensors.read(
        path, lambda names: _validate_names(path, names, has_notes=False)
    )
    ours = *_Names.among(entries).notes, _CHECKSUM
    notes = {name: metadata[name] for name in ours if name in metadata}
    _check_version(path, notes)
    if notes:
        # Our files have all of them: a damaged name must not make ours look like a foreign file.
        if len(notes) < len(ours):
            raise ValueError(
                f"{path} is damaged: its metadata has {', '.join(notes)[:200]}; expected all or "
                f"none of {', '.join(ours)[:200]}"
            )
        if notes.pop(_CHECKSUM) != _checksum(entries, notes):
            raise ValueError(f"{path} is damaged: its checksum does not match")
    return entries, notes


def _check_version(path: Path, notes: dict[str, Any]) -> None:
    version = notes.get(_VERSION, _FORMAT)
    if str(version) != str(_FORMAT):
        raise ValueError(
            f"{path} has the format version {version!r}, but this version of multisubnet reads "
            f"{_FORMAT}"
        )


_TO_LOAD = "write it with WeightSets.save, or numpy.savez('sets.npz', weight=..., bias=...)"


def _suffix(path: Any, advice: str) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise ValueError(
            f"{path} must end in .npz or .safetensors, to hold sets of weights: {advice}"
        )
    return suffix


def _validate_names(path: Any, names: list[str], *, has_notes: bool) -> list[str]:
    """Return the names of a file's arrays, which must be those of sets and of all notes."""
    expected = _Names.among(names)
    notes = expected.notes if has_notes else []
    unknown = set(names) - {*expected.required, *expected.optional, *notes}
    missing = set(expected.required) - set(names)
    n_notes = sum(name in names for name in notes)
    if missing or unknown or n_notes not in (0, len(notes)):
        shown = ", ".join(sorted(names))[:200] or "nothing"
        of_networks = "; networks have layers.0.weight and so on" * ("weight" in expected.required)
        raise ValueError(
            f"{path} has {shown}; expected weight sets as WeightSets.save writes them: "
            f"{', '.join(expected.required)[:200]}, optionally "
            f"{', '.join(expected.optional)[:200]}, and all or none of "
            f"{', '.join(expected.notes)[:200]}{of_networks}"
        )
    return names


def _read_scalar(path: Any, name: str, array: np.ndarray) -> Any:
    """Return a text or a number that a .npz file stores as an array."""
    if array.ndim:
        raise ValueError(f"{name} in {path} has shape {array.shape}; expected ()")
    return array.item()


def _as_json(activation: Activation | None) -> str:
    """Return an activation as JSON; its parameter reads back as the same number."""
    activation = Activation("linear") if activation is None else activation
    state = {
        "name": activation.name,
        "parameter": activation.parameter,
        "is_derivative": activation.is_derivative,
    }
    return json.dumps(state)


def _activation(path: Any, what: str, text: Any) -> Activation:
    """Return the activation that a text describes."""
    try:
        state = json.loads(text)
        name, parameter, is_derivative = (
            state.pop(key) for key in ("name", "parameter", "is_derivative")
        )
        if state or not isinstance(is_derivative, bool):
            raise ValueError("fields other than name, parameter and is_derivative")
        expected, _ = PARAMETERS.get(name, (None, None))
        parameters = {} if parameter is None and expected is None else {str(expected): parameter}
        activation = Activation(name, **parameters)
        return activation.derivative if is_derivative else activation
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{what} in {path} is {str(text)[:200]!r}, which is not an activation: {error}"
        ) from None


def _checksum(arrays: dict[str, np.ndarray], notes: dict[str, str]) -> str:
    """Return the CRC-32 of the contents of sets."""
    kinds = {name: [str(array.dtype), array.shape] for name, array in arrays.items()}
    checksum = zlib.crc32(json.dumps([notes, kinds], sort_keys=True).encode())
    for name in sorted(arrays):
        checksum = zlib.crc32(
            np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data, checksum
        )
    return f"{checksum:08x}"
