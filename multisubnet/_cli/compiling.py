"""A message for the person who waits while code is compiled."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def announced(show: Callable[[str], object]) -> Iterator[None]:
    """Call `show` with a message when the CPU engine begins to compile, at most once."""
    logger, handler = logging.getLogger("multisubnet"), _First(show)
    level = logger.level
    logger.addHandler(handler)
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def announced_at_terminal() -> contextlib.AbstractContextManager[None]:
    """Print the message to stderr if that is a terminal."""
    if not sys.stderr.isatty():
        return contextlib.nullcontext()
    return announced(lambda text: print(f"multisubnet: {text}", file=sys.stderr, flush=True))


class _First(logging.Handler):
    """Shows a message when the first record is logged."""

    def __init__(self, show: Callable[[str], object]):
        super().__init__(logging.INFO)
        self.show, self.is_new = show, True

    def emit(self, record: logging.LogRecord) -> None:
        """Show the message at the first record."""
        if self.is_new:
            self.is_new = False
            with contextlib.suppress(OSError):  # the stream may be closed
                self.show("compiling code for this machine: a few seconds, once per installation")
