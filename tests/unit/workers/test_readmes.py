"""The READMEs of `toolchain` and `artifacts`: whoever looks for a module finds what it is for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import penstock_workers

PACKAGE = Path(penstock_workers.__file__).parent


@pytest.mark.parametrize("folder", ["toolchain", "artifacts"])
def test_the_readme_names_every_module_and_no_other(folder: str) -> None:
    """Each by its name, as code."""
    text = (PACKAGE / folder / "README.md").read_text()
    modules = {path.stem for path in (PACKAGE / folder).glob("[!_]*.py")}

    named = set(re.findall(r"`(\w+)(?:\.py)?`", text))
    files = set(re.findall(r"`(\w+)\.py`", text))

    assert modules - named == set()
    assert files <= modules | {"penstock_sealed", "engine"}
