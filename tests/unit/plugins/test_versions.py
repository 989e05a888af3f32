"""Versions and ranges, by the rules of semantic versioning."""

from __future__ import annotations

import pytest

from penstock_plugins.versions import VersionRange, by_precedence, highest_release, is_version, parse_version


@pytest.mark.parametrize(
    ("range_text", "inside", "outside"),
    [
        ("1.2.3", ["1.2.3", "1.2.3+build.7"], ["1.2.4", "1.2.2", "1.2.3-rc.1"]),
        ("^1.2.3", ["1.2.3", "1.9.0", "1.3.0-rc.1"], ["2.0.0", "2.0.0-rc.1", "1.2.2", "1.2.3-rc.1"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0", "0.3.0-alpha", "0.2.2", "1.0.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4", "0.0.2"]),
        ("~1.2.3", ["1.2.3", "1.2.99"], ["1.3.0", "1.3.0-rc.1", "1.2.2"]),
        ("~0.2.3", ["0.2.4"], ["0.3.0"]),
        (" ^ 1.2.3 ", ["1.2.3"], ["2.0.0"]),
        ("*", ["0.0.1", "99.0.0-alpha"], []),
    ],
)
def test_P5_a_range_has_what_semantic_versioning_says(
    range_text: str, inside: list[str], outside: list[str]
) -> None:
    """Exact, caret, tilde and any; what comes before the next release is none of this one."""
    versions = VersionRange.parse(range_text)

    assert [v for v in inside if versions.allows(v)] == inside
    assert [v for v in outside if versions.allows(v)] == []


def test_P5_a_range_from_one_version_to_another_has_both() -> None:
    """Inclusive; a missing end is open."""
    both = VersionRange.between("1.0.0", "1.5.0")
    least = VersionRange.between("1.0.0", None)
    greatest = VersionRange.between(None, "1.5.0")

    assert [v for v in ("0.9.9", "1.0.0", "1.5.0", "1.5.1") if both.allows(v)] == ["1.0.0", "1.5.0"]
    assert least.allows("7.0.0")
    assert not least.allows("1.0.0-rc.1")
    assert greatest.allows("0.1.0")
    assert not greatest.allows("1.5.1")


@pytest.mark.parametrize("text", ["", "^", "1.2", "v1.2.3", ">=1.0.0", "1.2.x", "01.2.3", "1.0.0 || 2.0.0"])
def test_what_is_no_range_is_refused_in_words(text: str) -> None:
    """The message shows how a version looks."""
    with pytest.raises(ValueError, match=r"no semantic version such as 1\.2\.0"):
        VersionRange.parse(text)


def test_P5_prereleases_come_before_their_release_in_their_own_order() -> None:
    """Numbers by value, words by letter; fewer parts first."""
    versions = ["1.0.0", "1.0.0-beta.11", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-alpha", "1.0.0-alpha.1"]

    ordered = sorted(versions, key=by_precedence)

    assert ordered == [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0",
    ]


def test_I5_the_highest_release_is_no_prerelease_where_there_is_a_release() -> None:
    """By value, not by letter: 1.10.0 is higher than 1.9.0."""
    assert highest_release(["1.9.0", "1.10.0", "2.0.0-rc.1"]) == "1.10.0"
    assert highest_release(["1.0.0+a-b", "1.0.0-rc.1"]) == "1.0.0+a-b"
    assert highest_release(["1.0.0-rc.2", "1.0.0-rc.10"]) == "1.0.0-rc.10"


def test_P5_build_metadata_parses_and_only_breaks_ties() -> None:
    """So that which of two is the highest does not depend on the order in which they come."""
    assert highest_release(["1.0.0+b", "1.0.0+a"]) == highest_release(["1.0.0+a", "1.0.0+b"])
    assert parse_version("1.0.0+a.b") == parse_version("1.0.0+c")


def test_a_version_is_short() -> None:
    """Nobody needs longer ones, and numbers with thousands of digits take long to read."""
    assert is_version("1.0.0-" + "a" * 100)
    assert not is_version("1.0." + "9" * 5000)
