"""The subcommands of the command line: predictions and losses, from files to files."""

from __future__ import annotations

import argparse
import contextlib
import csv
import functools
import importlib.util
import math
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from multisubnet._arithmetic.output_loss import CATEGORICAL
from multisubnet._arrays import amounts
from multisubnet._arrays.explanations import count
from multisubnet._backends.choice import choice, use_backend
from multisubnet._cli import resumable_file
from multisubnet._cli.compiling import announced_at_terminal
from multisubnet._files import array_files, atomic
from multisubnet._files.stored import StoredArray
from multisubnet._sets import chunks
from multisubnet._sets.names import check_header
from multisubnet._sets.prediction import Prediction
from multisubnet._sets.weight_sets import CAUSES_OF_NAN, WeightSets

_STATISTICS = "mean", "std", "min", "max"
_MOST_MEMORY = 1 << 30  # default limit
_ENGINE_BYTES = 1 << 28  # reserved for loading or compiling a backend
_PROGRAM_BYTES = 1 << 23  # reserved for threads, modules and system buffers
_LEAST_BYTES = 1 << 24  # for buffers, if no limit is given
_FOR_AN_ENGINE = _ENGINE_BYTES + _LEAST_BYTES
_BUFFER_BYTES = 1 << 26  # size of each of two buffers; larger ones do not write faster


def predict(options: argparse.Namespace) -> None:
    """Write the predictions of all sets to a file."""
    end = array_files.suffix(options.out)
    if end != ".npy" and (options.resume or options.chunk):
        options.parser.error("--resume and --chunk are for an OUT that ends in .npy")
    if options.stats and (options.resume or options.chunk or options.set_axis):
        options.parser.error("--stats cannot be combined with --resume, --chunk or --set-axis 1")
    _check_is_other(options.out, options.samples, options.weights)
    with contextlib.ExitStack() as stack:
        stack.enter_context(announced_at_terminal())
        limit = options.memory_limit
        _free_bytes(limit, _ENGINE_BYTES if choice() not in (None, "numpy") else 0)
        stack.enter_context(amounts.held_to(limit))
        samples, sets = _inputs(options, stack)
        if choice() is None and limit is not None and _free_bytes(limit, 0) < _FOR_AN_ENGINE:
            stack.enter_context(use_backend("numpy"))  # avoids loading an engine
        with _names_of_files(options):
            prediction = _prediction(samples, sets, options.set_axis)
        free = _free_bytes(limit, 0 if choice() == "numpy" else _ENGINE_BYTES)
        progress = _shows_progress(options.progress)
        if options.stats:
            with _names_of_files(options):
                shape = len(_STATISTICS), *prediction.shape[1:]
                array = _mapped(samples)
                if array is not samples:
                    free -= array.nbytes  # of a file, whose pages are in memory once they are read
                found = _stats(array, sets, shape, free, progress)
            _check_unchanged(samples)
            _write(options.out, found, "statistics", ("statistic", "sample"), sets)
            return
        if end == ".npy":
            elements = _elements(prediction, free, options.chunk)
            resumable_file.write(options.out, prediction, elements, options.resume, progress)
            _report(options.out, prediction, prediction.n_bytes)
            return
        result = _whole(prediction, free, progress)
        _check_unchanged(samples)
        axes = ("sample", "set") if options.set_axis else ("set", "sample")
        _write(options.out, result, "predictions", axes, sets)


def _write(
    path: str, result: np.ndarray, name: str, axes: tuple[str, str], sets: WeightSets
) -> None:
    """Write a whole result, and report it; `axes` are the first two."""
    is_table = array_files.suffix(path) == ".csv"
    table = result.reshape(*result.shape[:2], -1) if is_table else result
    labels = {"set": _labels(sets), "statistic": _STATISTICS}
    array_files.write(path, table, name, axes, sets._parameters.columns, labels)
    _report(path, result, result.nbytes)


def _report(path: str, result: Prediction | np.ndarray, n_bytes: int) -> None:
    """Print what was written, and its size: that of the file for a table."""
    if array_files.suffix(path) == ".csv":
        n_bytes = os.path.getsize(path)
    print(f"wrote {path}: shape {result.shape}, {result.dtype}, {amounts.text(n_bytes)}")


def _stats(
    samples: np.ndarray, sets: WeightSets, shape: tuple[int, ...], free: int, progress: bool
) -> np.ndarray:
    """Return `_STATISTICS` over sets, of a shape, using at most `free` bytes."""
    limit = free - 2 * math.prod(shape) * 8  # they are stacked
    if limit <= 0:
        raise MemoryError(
            f"statistics of shape {shape} do not fit in {amounts.text(max(free, 0))}: give a "
            f"larger --memory-limit"
        )
    found = sets.predict_stats(samples, memory_limit=limit, progress=progress)
    return np.stack([getattr(found, name) for name in _STATISTICS])


def _prediction(samples: StoredArray | np.ndarray, sets: WeightSets, set_axis: int) -> Prediction:
    """Return the predictions for samples, which may be read in parts when needed."""
    stand_in = np.broadcast_to(np.zeros((), samples.dtype), samples.shape)
    return Prediction.of(stand_in, sets._parameters, set_axis).with_samples(samples)


def _whole(prediction: Prediction, free: int, progress: bool) -> np.ndarray:
    """Return the whole result, using at most `free` bytes."""
    if prediction.n_bytes > free:
        raise MemoryError(
            f"predictions of shape {prediction.shape} have {amounts.text(prediction.n_bytes)}, but "
            f"only {amounts.text(free)} are available: write them to a .npy file, or give a larger "
            f"--memory-limit"
        )
    elements = _elements(prediction, free - prediction.n_bytes, None)
    result = np.empty(prediction.shape, prediction.dtype)
    for chunk, call in prediction.parts(elements, progress):
        prediction.block(call, out=result[chunk])
    return result


def loss(options: argparse.Namespace) -> None:
    """Print the losses of all or the best sets, or write them to a file."""
    if options.out is not None:
        array_files.suffix(options.out)
        _check_is_other(options.out, options.samples, options.weights, options.targets)
    with contextlib.ExitStack() as stack:
        stack.enter_context(announced_at_terminal())
        samples, sets = _inputs(options, stack)
        if options.best is not None and options.best > len(sets):
            raise ValueError(
                f"--best is {options.best}, but {options.weights} has only "
                f"{count(len(sets), 'set')}"
            )
        targets = stack.enter_context(
            array_files.opened(
                options.targets,
                "targets",
                options.header,
                functools.partial(check_header, "targets", expected=sets._parameters.known_columns),
            )
        )
        with _names_of_files(options), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            data = _mapped(samples), _targets(targets, options.loss)
            losses = sets.mean_loss(*data, loss=options.loss or "squared_error")
        for warning in caught:
            _tell(warning)
        _check_unchanged(samples, targets)
    if len(losses) and np.isnan(losses).all():
        print(f"multisubnet: all losses are NaN: {CAUSES_OF_NAN}", file=sys.stderr)
    labels = _labels(sets)
    if options.out is not None:
        table = losses[:, None] if array_files.suffix(options.out) == ".csv" else losses
        array_files.write(options.out, table, "losses", ["set"], ["loss"], {"set": labels})
    order = np.arange(len(losses))
    if options.best is not None:
        order = np.argsort(losses, kind="stable")[: options.best]
    elif options.out is not None:
        return
    lines = csv.writer(sys.stdout, "excel-tab", lineterminator="\n")
    lines.writerows((labels[number], losses[number]) for number in order.tolist())


def _tell(warning: warnings.WarningMessage) -> None:
    """Print a warning about the data, whose advice is in Python, as one about options."""
    if not issubclass(warning.category, UserWarning):
        warnings.showwarning(warning.message, warning.category, warning.filename, warning.lineno)
        return
    text = re.sub(r"loss='(\w+)'", r"--loss \1", str(warning.message))
    text = text.replace("pass targets as floats", "pass --loss squared_error")
    print(f"multisubnet: warning: {text}", file=sys.stderr)


def _labels(sets: WeightSets) -> Sequence[object]:
    """Return the names of the sets if they are distinct, otherwise their numbers."""
    return sets._parameters.names.distinct_sets or range(len(sets))


def _targets(targets: StoredArray | np.ndarray, loss: str | None) -> np.ndarray:
    """Return the targets of a loss; class labels read from a table are converted to integers.

    If no loss is given, whole numbers in a table may be labels.
    """
    array = _mapped(targets)
    is_table = array is targets
    if array.dtype == np.float64 and (loss == CATEGORICAL or (loss is None and is_table)):
        with np.errstate(invalid="ignore"):  # NaN
            whole = array.astype(np.int64)
        if (whole == array).all():
            return whole
    return array


def _check_is_other(out: str, *inputs: str) -> None:
    """Raise if `out` is one of the inputs, or cannot be replaced by a file."""
    final = atomic.place_of(out)
    for path in inputs:
        if final.exists() and os.path.exists(path) and os.path.samefile(final, path):
            raise ValueError(
                f"{out} is both the output and the input {path}; expected another output"
            )


def _inputs(
    options: argparse.Namespace, stack: contextlib.ExitStack
) -> tuple[StoredArray | np.ndarray, WeightSets]:
    """Return samples and weight sets; `stack` closes the file if samples stay on disk."""
    sets = WeightSets.load(options.weights)
    check = functools.partial(check_header, "samples", expected=sets.feature_names)
    samples = stack.enter_context(
        array_files.opened(options.samples, "samples", options.header, check)
    )
    if options.activation is not None:
        sets = sets._activated(options.activation)
    return samples, sets


def _mapped(array: StoredArray | np.ndarray) -> np.ndarray:
    return array.whole() if isinstance(array, StoredArray) else array


def _check_unchanged(*arrays: StoredArray | np.ndarray) -> None:
    for array in arrays:
        if isinstance(array, StoredArray):
            array.check_unchanged()


@contextlib.contextmanager
def _names_of_files(options: argparse.Namespace) -> Iterator[None]:
    """Add the file names of operands to errors, which name the operands."""
    try:
        yield
    except (ValueError, TypeError) as error:
        files = {"samples": options.samples, "weights": options.weights}
        files |= {"targets": options.targets} if "targets" in options else {}
        error.add_note(", ".join(f"{name} from {path}" for name, path in files.items()))
        raise


def _free_bytes(limit: int | None, engine: int) -> int:
    """Return how many bytes a memory limit leaves after the program and an engine."""
    held = amounts.resident() + _PROGRAM_BYTES + engine
    if limit is None:
        available = amounts.available()
        limit = _MOST_MEMORY if available is None else min(available // 4, _MOST_MEMORY)
        return max(limit - held, _LEAST_BYTES)
    if limit <= held:
        raise ValueError(
            f"--memory-limit is {amounts.text(limit)}, but the program with its inputs may take "
            f"{amounts.text(held)}; expected at least {amounts.text(held + _LEAST_BYTES)}"
        )
    return limit - held


def _shows_progress(asked: bool | None) -> bool:
    """Return whether to show a progress bar; by default if it is possible."""
    is_installed = importlib.util.find_spec("tqdm") is not None
    if asked and not is_installed:
        raise ImportError("--progress needs tqdm: pip install 'multisubnet[progress]'")
    return sys.stderr.isatty() and is_installed if asked is None else asked


def _elements(prediction: Prediction, free: int, rows: int | None) -> int:
    """Return how many elements of the result to compute at once."""
    itemsize, row = prediction.dtype.itemsize, prediction.row
    # If samples are in a file, memory holds the part that a chunk needs. That is at most a third
    # of the total, because its elements are not larger than those of the two buffers.
    if isinstance(prediction.samples, StoredArray):
        free -= min(prediction.samples.nbytes, free // 3)
    most = chunks.elements_within(free, 2, itemsize)
    if rows is not None:
        rows = min(rows, prediction.shape[0])
        elements = rows * prediction.shape[1] * row
        if elements > most:
            raise ValueError(
                f"--chunk is {rows}, which takes {amounts.text(2 * elements * itemsize)}, but "
                f"only {amounts.text(2 * most * itemsize)} are available; see --memory-limit"
            )
        return elements
    if most < row:
        raise ValueError(
            f"{row} values of one set and sample do not fit in the memory that --memory-limit "
            f"leaves: increase it"
        )
    return min(most, max(_BUFFER_BYTES // itemsize, row))
