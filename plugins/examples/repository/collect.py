"""Writes the Markdown and Python files below folders as params of `summary`, for `penstock … --params`.

python collect.py FOLDER... > files.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

SUFFIXES = (".md", ".py")
#: Larger files are left out, and hidden folders and what tools have installed.
MAX_BYTES = 200_000
SKIPPED = {"node_modules", "__pycache__", "build", "dist"}


def collect(folder: Path) -> list[dict[str, str]]:
    """Every file with its path, its package (the folder that it is in) and its text."""
    files = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part in SKIPPED for part in parts)
        if hidden or path.suffix not in SUFFIXES or not path.is_file() or path.stat().st_size > MAX_BYTES:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        files.append({"path": str(path), "package": str(path.parent), "text": text})
    return files


if __name__ == "__main__":
    json.dump({"files": [file for name in sys.argv[1:] for file in collect(Path(name))]}, sys.stdout)
