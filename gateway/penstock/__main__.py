"""The `penstock` program, and `python -m penstock`. Ctrl-C is quiet, also while the command line loads."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Load the command line and run it."""
    try:
        from penstock.cli import main as run  # loads in 0.1 s, in which Ctrl-C is not `exits`' yet
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
