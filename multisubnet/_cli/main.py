"""The command line: its options, and how it ends."""

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
from multisubnet._backends.choice import BackendUnavailable, use_backend
from multisubnet._backends.config import show_config
from multisubnet._cli import commands as _commands
from multisubnet._cli.demo import demo
from multisubnet._functions.loss_problem import named_loss
from multisubnet._functions.mlp_loss_problem import LOSSES
from multisubnet._memory import amounts

_FILES = """\
SAMPLES is a table of shape (samples, features), or one for each set, of shape (sets, samples,
features), and TARGETS are the values to be predicted: .npy files, which are read piece by piece as
they are needed; .npz and .safetensors files that hold one array, or one named samples (or
targets); small tables in .csv files. The first line of a table is a header if all its cells begin
with letters, and data if all are numbers. Anything else (NA, an empty cell, 1;2) is an error. Whole
numbers that count up (0,1,2 or 2019,2020 or a single 0) may be either: pass --header or
--no-header. WEIGHTS is a .npz or .safetensors file as WeightSets.save writes it, with weight, bias
and activation, or with the layers of networks. If WEIGHTS has feature_names, a header of SAMPLES
must have the same names in the same order.
"""

_PREDICT = """\
Predict with all sets of weights, and write the result, of shape (sets, samples, features), or
(sets, samples, networks, outputs), or if additive (sets, samples, outputs), to a file.

A .npy file is computed and written chunk by chunk, and may be larger than memory. Until it is
complete its name is OUT.part; OUT.part.json records, about every GiB, how much of it is safe on the
disk. If a run is interrupted or killed, repeat the command with --resume: the file will be the
same, byte for byte. Other formats are limited by memory: .npz, .safetensors and .csv, which has a
line per set and sample. An existing file OUT is replaced at the end.
"""

_LOSS = """\
Judge all sets of weights: print the number of each set and its mean loss, with a tab between them.
"""


class _Terminated(BaseException):
    """SIGTERM was received."""


_ERRORS = (OSError, ValueError, TypeError, MemoryError, ImportError, BackendUnavailable)


def main(arguments: list[str] | None = None) -> int:
    """Run a command, and return its exit code.

    It is 0; 1 after an error, which is told in one line; 130 or 143 after SIGINT or SIGTERM; 141
    where nobody reads what is printed. Wrong usage is SystemExit(2).
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
        description="N sets of weights of one small, sparse model, evaluated on the same data.",
    )
    version = f"multisubnet {multisubnet.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    info = commands.add_parser("info", help="show versions, devices and backends")
    info.set_defaults(run=lambda options: show_config())
    first = commands.add_parser("demo", help="evaluate 1,000 sets of weights on a real data set")
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
        "--memory-limit",
        type=_size,
        metavar="SIZE",
        help="how much memory the whole process may take, such as 512MiB or 2GiB; by default a "
        "quarter of the available memory, and 1GiB at most. The system's cache of files does not "
        "count, and is kept small",
    )
    predict.add_argument(
        "--chunk",
        type=_count,
        metavar="SETS",
        help="how many sets, or samples with --set-axis 1, are computed at once; by default a "
        "chunk has 64 MiB, or less if --memory-limit asks for it",
    )
    predict.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show a bar, with tqdm; by default if tqdm is installed and stderr is a terminal",
    )
    predict.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted run, or start one if there is none. Inputs, --activation and "
        "--set-axis must be those of that run, or the command fails. Without --resume the command "
        "fails if OUT.part exists",
    )
    predict.set_defaults(run=_commands.predict, parser=predict)

    loss = _command(
        commands,
        "loss",
        "judge all sets of weights: the mean loss of each",
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
        default="squared_error",
        help=f"{', '.join(LOSSES)}; names of Keras and PyTorch, like mse and BCELoss, work, too; "
        "squared_error by default",
    )
    loss.add_argument(
        "--best", type=_count, metavar="K", help="print the K sets of lowest loss, best first"
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
    """Add a command on samples and weights."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"{_FILES}\nexample:\n  {example}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("samples", metavar="SAMPLES", help="a file of samples")
    parser.add_argument("weights", metavar="WEIGHTS", help="a file of sets of weights")
    parser.add_argument(
        "--activation",
        type=_activation,
        metavar="A",
        help="a name like relu or tanh, in place of the activation that WEIGHTS has, in networks "
        "in their hidden layers",
    )
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="the first line of .csv files is a header, whatever it looks like; or (--no-header) "
        "it is data, unless all its cells are words",
    )
    parser.add_argument(
        "--backend",
        choices=("numpy", "numba", "cupy"),
        help="where to compute; the result has the same bits",
    )
    return parser


def _size(text: str) -> int:
    try:
        return amounts.parsed("SIZE", text)
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


# What is told to whom.


@contextlib.contextmanager
def _streams() -> Iterator[None]:
    """Take /dev/null for stdout and stderr if they are closed, or can no longer be written to.

    A file that is opened while one of them is closed would get its number, and with that what
    libraries print.
    """
    null = os.open(os.devnull, os.O_RDWR)
    while null <= 2:  # the lowest number that is free
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
                except (OSError, ValueError):  # Python would try again at its end, and complain
                    with contextlib.suppress(OSError, ValueError):
                        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _complain(what: str, error: BaseException) -> None:
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    with contextlib.suppress(OSError):  # nobody reads it
        print(f"multisubnet: {what}{notes}", file=sys.stderr, flush=True)


def _message(error: Exception) -> str:
    """Return what an error says, on one line."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM raise an exception, as SIGINT does."""
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
