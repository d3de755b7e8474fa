"""Run pytest so that SIGINT ends it with its summary, even in the background of a script.

A shell starts background jobs with SIGINT ignored, and an interrupted run would not report its
failures.
"""

from __future__ import annotations

import signal
import sys

import pytest

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(pytest.main(sys.argv[1:]))
