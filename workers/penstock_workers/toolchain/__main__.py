"""`python -m penstock_workers.toolchain FOLDER…` builds the C plugins in these folders."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from penstock_plugins.errors import PenstockError
from penstock_workers.toolchain.c import build_c_plugin


def main(arguments: list[str] | None = None) -> int:
    """Build each folder; the first that fails ends it."""
    parser = argparse.ArgumentParser(prog="python -m penstock_workers.toolchain", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="has plugin.toml and src/*.c")
    folders: list[Path] = parser.parse_args(arguments).folders
    logging.basicConfig(format="%(message)s")
    for folder in folders:
        try:
            artifact = build_c_plugin(folder)
        except PenstockError as error:
            sys.stderr.write(f"{error}\n")
            return error.exit_code
        sys.stdout.write(f"{artifact}: {artifact.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
