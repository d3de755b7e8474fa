"""The command line: options and exit codes."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import multisubnet
from multisubnet._arithmetic.activation import Activation
from multisubnet._arrays import amounts
from multisubnet._backends.choice import BackendUnavailable, use_backend
from multisubnet._backends.config import show_config
from multisubnet._cli import commands as _commands
from multisubnet._cli.demo import demo
from multisubnet._functions.loss_problem import named_loss
from multisubnet._functions.mlp_loss_problem import LOSSES

_FILES = """\
SAMPLES has the shape (samples, features), or (sets, samples, features) with separate samples per
set. It is a .npy file, which is read in parts as needed; a .npz or .safetensors file with a single
array, or with an array named samples; or, for small tables, a .csv file.

The first line of a .csv file is a header if all its cells begin with letters, and data if all are
numbers. Anything else (NA, an empty cell, 1;2) is an error. Whole numbers that count up (0,1,2 or
2019,2020 or a single 0) are ambiguous: pass --header or --no-header. If WEIGHTS has feature_names,
the header of SAMPLES must have the same names in the same order.

WEIGHTS is a .npz or .safetensors file as WeightSets.save writes it, with weight, bias and
activation, or with the layers of networks. Without hidden layers, you can also write it with
numpy.savez("sets.npz", weight=..., bias=...).
"""

_PREDICT = """\
Predict with all sets of weights, and write the result to a file. Its shape is (sets, samples,
features); for networks (sets, samples, networks, outputs), or (sets, samples, outputs) if additive.

A .npy file is computed and written chunk by chunk, and may be larger than memory. Until it is
complete its name is OUT.part. About every GiB, OUT.part.json records how much of it is safely on
disk. If a run is interrupted or killed, repeat the command with --resume: the file will be the
same, byte for byte. Other formats are limited by memory: .npz, .safetensors and .csv, which has one
line per set and sample. An existing file OUT is replaced at the end.
"""

_LOSS = """\
Compute the mean loss of each set. Each line has the number of the set (or its name, if all sets of
WEIGHTS have different names), a tab, and the loss. TARGETS has the values to predict, in a file
like SAMPLES.
"""


class _Terminated(BaseException):
    """SIGTERM was received."""


_ERRORS = (OSError, ValueError, TypeError, MemoryError, ImportError, BackendUnavailable)


def main(arguments: list[str] | None = None) -> int:
    """Run a command, and return its exit code.

    0 is success; 1 an error, reported on one line; 130 or 143 SIGINT or SIGTERM; 141 a closed
    output pipe. Wrong usage raises SystemExit(2).
    """
    with _streams():
        code = 0
        try:
            options = _parser().parse_args(arguments)
            with _terminable(), use_backend(getattr(options, "backend", None)):
                options.run(options)
            sys.stdout.flush()
        except BrokenPipeError:
            code = 141
        except KeyboardInterrupt as error:
            _complain("interrupted", error)
            code = 130
        except _Terminated as error:
            _complain("terminated", error)
            code = 143
        except _ERRORS as error:
            _complain(f"error: {_message(error)}", error)
            code = 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="multisubnet",
        description="Evaluate N sets of weights of one small network on the same data.",
    )
    version = f"multisubnet {multisubnet.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    info = commands.add_parser("info", help="show versions, devices and backends")
    info.set_defaults(run=lambda options: show_config())
    first = commands.add_parser(
        "demo", help="compare one call with a loop over sets, and search for the best model"
    )
    first.set_defaults(run=lambda options: demo())

    predict = _command(
        commands,
        "predict",
        "predict with all sets of weights, into a file",
        _PREDICT,
        "multisubnet predict samples.npy weights.npz -o predictions.npy --memory-limit 2GiB",
    )
    predict.add_argument("-o", "--out", required=True, metavar="OUT", help="the file to write")
    predict.add_argument(
        "--set-axis",
        type=int,
        choices=(0, 1),
        default=0,
        help="1 writes (samples, sets, features) instead",
    )
    predict.add_argument(
        "--stats",
        action="store_true",
        help="write mean, std, min and max over the sets instead, of shape (4, samples, features); "
        "in a table they are named",
    )
    predict.add_argument(
        "--memory-limit",
        type=_size,
        metavar="SIZE",
        help="the memory that the whole process may use, such as 512MiB or 2GiB; by default a "
        "quarter of the available memory, at most 1GiB. The system's file cache is kept small and "
        "does not count",
    )
    predict.add_argument(
        "--chunk",
        type=_count,
        metavar="SETS",
        help="the number of sets (samples with --set-axis 1) to compute at once; by default a "
        "chunk has 64 MiB, or less if --memory-limit requires it",
    )
    predict.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show a progress bar (needs tqdm); by default if stderr is a terminal",
    )
    predict.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted run, or start one if there is none. The command fails if "
        "inputs, --activation or --set-axis differ from that run, or if OUT.part exists and "
        "--resume is not given",
    )
    predict.set_defaults(run=_commands.predict, parser=predict)

    loss = _command(
        commands,
        "loss",
        "compute the mean loss of each set of weights",
        _LOSS,
        "multisubnet loss samples.npy weights.npz targets.npy --loss huber --best 10",
    )
    loss.add_argument(
        "targets",
        metavar="TARGETS",
        help="a file of shape (samples, features), (samples, 1) or (samples,)",
    )
    loss.add_argument(
        "--loss",
        type=_loss,
        metavar="L",
        help=f"{', '.join(LOSSES)}; Keras and PyTorch names such as mse and BCELoss also work; "
        "squared_error by default",
    )
    loss.add_argument(
        "--best", type=_count, metavar="K", help="print the K sets with the lowest loss, best first"
    )
    loss.add_argument(
        "-o",
        "--out",
        metavar="OUT",
        help="write the losses of all sets to a .npy, .npz, .safetensors or .csv file, and print "
        "none unless --best is given",
    )
    loss.set_defaults(run=_commands.loss)
    return parser


def _command(
    commands: Any, name: str, summary: str, description: str, example: str
) -> argparse.ArgumentParser:
    """Add a command that takes samples and weights."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"{_FILES}\nexample:\n  {example}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("samples", metavar="SAMPLES", help="a file of samples")
    parser.add_argument("weights", metavar="WEIGHTS", help="a file of weight sets")
    parser.add_argument(
        "--activation",
        type=_activation,
        metavar="A",
        help="an activation such as relu or tanh that replaces the one in WEIGHTS; for networks, "
        "the one of the hidden layers",
    )
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="--header: the first line of .csv files is always a header; --no-header: it is data, "
        "unless all its cells are words",
    )
    parser.add_argument(
        "--backend",
        choices=("numpy", "numba", "cupy"),
        help="the backend that computes; the result has the same bits on all of them",
    )
    return parser


def _size(text: str) -> int:
    try:
        return amounts.parse("SIZE", text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not (text.isdecimal() and text.strip("0")):
        raise argparse.ArgumentTypeError(f"expected a positive integer, not {text!r}")
    return int(text) if len(text) < 20 else sys.maxsize


def _activation(text: str) -> Activation:
    try:
        return Activation(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _loss(text: str) -> str:
    try:
        return named_loss(text, LOSSES)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# Output and errors.


@contextlib.contextmanager
def _streams() -> Iterator[None]:
    """Redirect stdout and stderr to /dev/null if they are closed or can no longer be written to.

    A file opened while one of them is closed would get its descriptor, and then receive what
    libraries print.
    """
    null = os.open(os.devnull, os.O_RDWR)
    while null <= 2:  # the lowest free descriptor
        null = os.open(os.devnull, os.O_RDWR)
    os.close(null)
    with contextlib.ExitStack() as stack:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                stack.callback(setattr, sys, name, None)
                setattr(sys, name, stack.enter_context(open(os.devnull, "w")))
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except (OSError, ValueError):  # Python would flush again at exit, and complain
                    with contextlib.suppress(OSError, ValueError):
                        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _complain(what: str, error: BaseException) -> None:
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    with contextlib.suppress(OSError):  # stderr may be closed
        print(f"multisubnet: {what}{notes}", file=sys.stderr, flush=True)


def _message(error: Exception) -> str:
    """Return the message of an error on one line."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Make SIGTERM raise an exception, as SIGINT does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: object) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
