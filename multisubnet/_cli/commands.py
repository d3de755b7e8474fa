"""What the commands of the command line do: predictions and losses, from files to files."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator

import numpy as np

from multisubnet._cli import resumable_file as _predict_file
from multisubnet._files import array_files as _array_files
from multisubnet._files import atomic as _replace
from multisubnet._memory import amounts as _memory
from multisubnet._memory import chunks as _chunks
from multisubnet._sets import prediction as _predict
from multisubnet._sets.weight_sets import WeightSets

_MOST_MEMORY = 1 << 30  # that is taken if nobody says how much
_ENGINE_BYTES = 1 << 28  # that loading or compiling a backend may take of it
_LEAST_BYTES = 1 << 24  # for buffers, if nobody says how much memory
_BUFFER_BYTES = 1 << 26  # of each of two: larger ones are not written faster


def predict(options: argparse.Namespace) -> None:
    """Write what all sets predict to a file."""
    end = _array_files.suffix(options.out)
    if end != ".npy" and (options.resume or options.chunk):
        options.parser.error("--resume and --chunk are for an OUT that ends in .npy")
    _check_is_other(options.out, options.samples, options.weights)
    samples, sets = _inputs(options)
    with _names_of_files(options):
        prediction = _predict.Prediction.of(
            samples, sets.weight, sets.bias, sets.activation, options.set_axis
        )
    free = _free_bytes(options.memory_limit)
    progress = _shows_progress(options.progress)
    if end == ".npy":
        elements = _elements(prediction, free, options.chunk)
        _predict_file.write(options.out, prediction, elements, options.resume, progress)
        return
    if prediction.n_bytes > free:
        raise MemoryError(
            f"predictions of shape {prediction.shape} have {_memory.text(prediction.n_bytes)}, and "
            f"there are {_memory.text(free)} for them: write them to a .npy file, or give a larger "
            f"--memory-limit"
        )
    result = prediction.whole(None, progress)
    axes = ("sample", "set") if options.set_axis else ("set", "sample")
    _array_files.write(
        options.out, result, "predictions", axes, [f"f{f}" for f in range(result.shape[2])]
    )


def loss(options: argparse.Namespace) -> None:
    """Print the losses of all sets, or of the best, or write them to a file."""
    if options.out is not None:
        _array_files.suffix(options.out)
        _check_is_other(options.out, options.samples, options.weights, options.targets)
    samples, sets = _inputs(options)
    if options.best is not None and options.best > len(sets):
        raise ValueError(f"--best is {options.best}, and {options.weights} has {len(sets)} sets")
    targets = _array_files.read(options.targets, "targets")
    with _names_of_files(options):
        losses = sets.mean_loss(samples, targets, loss=options.loss)
    if options.out is not None:
        table = losses[:, None] if _array_files.suffix(options.out) == ".csv" else losses
        _array_files.write(options.out, table, "losses", ["set"], ["loss"])
    order = np.arange(len(losses))
    if options.best is not None:
        order = np.argsort(losses, kind="stable")[: options.best]
    elif options.out is not None:
        return
    for number in order:
        print(f"{number}\t{losses[number]}")


def _check_is_other(out: str, *inputs: str) -> None:
    """Raise unless a file can be put in the place of `out`, which is none of the inputs."""
    final = _replace.place_of(out)
    for path in inputs:
        if final.exists() and os.path.exists(path) and os.path.samefile(final, path):
            raise ValueError(f"{out} is to be written, and is read as {path}")


def _inputs(options: argparse.Namespace) -> tuple[np.ndarray, WeightSets]:
    """Return samples and sets of weights."""
    samples = _array_files.read(options.samples, "samples")
    sets = WeightSets.load(options.weights)
    if options.activation is not None:
        sets = WeightSets(sets.weight, sets.bias, options.activation)
    return samples, sets


@contextlib.contextmanager
def _names_of_files(options: argparse.Namespace) -> Iterator[None]:
    """Add to errors, which name operands, the files that those are in."""
    try:
        yield
    except (ValueError, TypeError) as error:
        files = {"samples": options.samples, "weight and bias": options.weights}
        files |= {"targets": options.targets} if "targets" in options else {}
        error.add_note(", ".join(f"{name} from {path}" for name, path in files.items()))
        raise


def _free_bytes(limit: int | None) -> int:
    """Return how many bytes a limit of memory leaves to what is computed."""
    held = _memory.resident() + _ENGINE_BYTES
    if limit is None:
        available = _memory.available()
        limit = _MOST_MEMORY if available is None else min(available // 4, _MOST_MEMORY)
        return max(limit - held, _LEAST_BYTES)
    if limit <= held:
        raise ValueError(
            f"--memory-limit is {_memory.text(limit)}, and the program with its inputs may take "
            f"{_memory.text(held)}; expected at least {_memory.text(held + _LEAST_BYTES)}"
        )
    return limit - held


def _shows_progress(asked: bool | None) -> bool:
    """Whether to show a bar, if it is asked for or if nothing is said."""
    is_installed = importlib.util.find_spec("tqdm") is not None
    if asked and not is_installed:
        raise ImportError("--progress needs tqdm: install it with 'pip install tqdm'")
    return sys.stderr.isatty() and is_installed if asked is None else asked


def _elements(prediction: _predict.Prediction, free: int, rows: int | None) -> int:
    """Return how many elements of the result are computed at once."""
    itemsize, n_features = prediction.dtype.itemsize, prediction.shape[2]
    # Of samples in a file the pages are in memory that a chunk needs: not more than a third
    # of the whole, since their items are not larger than those of the two buffers.
    free -= min(prediction.samples.nbytes, free // 3)
    most = _chunks.elements_within(free, 2, itemsize)
    if rows is not None:
        rows = min(rows, prediction.shape[0])
        elements = rows * prediction.shape[1] * n_features
        if elements > most:
            raise ValueError(
                f"--chunk is {rows}, which takes {_memory.text(2 * elements * itemsize)}, and "
                f"there are {_memory.text(2 * most * itemsize)} for it; see --memory-limit"
            )
        return elements
    if most < n_features:
        raise ValueError(
            f"{n_features} features do not fit in the memory that --memory-limit leaves: give more"
        )
    return min(most, max(_BUFFER_BYTES // itemsize, n_features))
