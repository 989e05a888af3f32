"""Which of the plugins that come with Penstock are published by default."""

from __future__ import annotations

from penstock.shipped import shipped_folders


def test_the_quick_ones_come_first_and_test_animals_not_at_all() -> None:
    """A newcomer can call `text` at once; nobody gets `hostile` without asking."""
    names = [folder.name for folder in shipped_folders()]

    assert names[0] == "text"
    assert "hostile" not in names
