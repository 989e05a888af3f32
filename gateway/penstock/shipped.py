"""Which of the plugins that come with Penstock are published by default, and which of them at once."""

from __future__ import annotations

from pathlib import Path

from penstock_plugins.shipped import shipped_plugins

#: Shipped to be stopped, not to be used where others work.
_TEST_ANIMALS = frozenset({"hostile"})


def shipped_folders() -> list[Path]:
    """The folders of the shipped plugins that are for use, the quickest to compile first.

    Composite tools are none of them: what they call has to be there before.
    """
    found = [
        manifest.parent
        for manifest in shipped_plugins().glob("*/plugin.toml")
        if manifest.parent.name not in _TEST_ANIMALS and list(manifest.parent.glob("plugin.wasm*"))
    ]
    return sorted(found, key=lambda folder: (_artifact_bytes(folder), folder.name))


def _artifact_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("plugin.wasm*"))
