"""Run pytest such that SIGINT ends it with its summary, also in the background of a script.

There SIGINT is ignored at first, and a run that is cut would not say what has failed.
"""

from __future__ import annotations

import signal
import sys

import pytest

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(pytest.main(sys.argv[1:]))
