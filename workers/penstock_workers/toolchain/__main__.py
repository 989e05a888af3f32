"""`python -m penstock_workers.toolchain FOLDER…` builds the plugins in these folders."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from penstock_plugins.errors import PenstockError
from penstock_workers.toolchain.build import build_plugin
from penstock_workers.toolchain.c import build_core_adapter
from penstock_workers.toolchain.core_abi import ADAPTER


def main(arguments: list[str] | None = None) -> int:
    """Build each folder; the first that fails ends it."""
    parser = argparse.ArgumentParser(prog="python -m penstock_workers.toolchain", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="has plugin.toml and src/")
    parser.add_argument("--packed", action="store_true", help="write compressed artifacts")
    parser.add_argument(
        "--core-adapter", action="store_true", help="build what core modules are wrapped with"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    if options.core_adapter:
        ADAPTER.write_bytes(build_core_adapter())
    for folder in options.folders:
        try:
            artifact = build_plugin(folder, packed=options.packed, say=lambda line: print_line(f"{line} …"))
        except PenstockError as error:
            sys.stderr.write(f"{error}\n")
            return error.exit_code
        sys.stdout.write(f"{artifact}: {artifact.stat().st_size} bytes\n")
    return 0


def print_line(line: str) -> None:
    """Say what takes long."""
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
