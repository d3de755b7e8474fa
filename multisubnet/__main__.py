"""``python -m multisubnet`` is the command ``multisubnet``."""

import sys

from multisubnet._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
