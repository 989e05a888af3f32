"""The project's own documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.demo import documents
from penstock.demo.documents import own_documents
from penstock_plugins.shipped import shipped_plugins


def test_a_source_tree_has_its_own(tmp_path: Path) -> None:
    """The README first; nothing that was installed or built, and nothing is unpacked."""
    found = own_documents(tmp_path)

    names = [str(path.relative_to(found.folder)) for path in found.paths]
    assert found.origin == "this source tree"
    assert {"README.md", "gateway/README.md", "plugins/AUTHORS.md"} <= set(names)
    assert not [name for name in names if name.startswith(".") or "node_modules" in name]
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_has_its_description_and_the_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The description is the README.md that the package was built with."""
    monkeypatch.setattr(documents, "source_tree", lambda: None)

    found = own_documents(tmp_path)

    shipped = (shipped_plugins() / "README.md").read_text()
    assert found.origin == "the installed package"
    assert [str(path.relative_to(tmp_path)) for path in found.paths] == ["README.md", "plugins/README.md"]
    assert found.paths[0].read_text().startswith("# Penstock")
    assert found.paths[1].read_text() == shipped
