"""Versions and ranges of versions, by the rules of semantic versioning (P-5).

A range is `1.2.3` (exactly), `^1.2.3` (up to the next release that may break), `~1.2.3` (up to the next
minor release), `*` (any), or a least and a greatest version, both included.
"""

from __future__ import annotations

from dataclasses import dataclass

import semver

#: Longer texts are no versions.
MAX_VERSION_CHARS = 128


def is_version(text: str) -> bool:
    """Whether the text is a semantic version."""
    return len(text) <= MAX_VERSION_CHARS and semver.Version.is_valid(text)


def parse_version(text: str) -> semver.Version:
    """The version in a text.

    Raises:
        ValueError: it is none; says how one looks.
    """
    if not is_version(text):
        raise ValueError(f"{text[:40]!r} is no semantic version such as 1.2.0")
    return semver.Version.parse(text)


def by_precedence(text: str) -> tuple[semver.Version, str]:
    """A key that sorts versions; build metadata, which has no precedence, only breaks ties."""
    return semver.Version.parse(text), text


def highest_release(versions: list[str]) -> str:
    """The version that a name without one means: the highest; a prerelease only where there is no release."""
    return max(versions, key=lambda text: ("-" not in text.partition("+")[0], by_precedence(text)))


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRange:
    """Which versions will do."""

    #: Included. None: no bound.
    least: semver.Version | None = None
    #: Included. None: no bound.
    greatest: semver.Version | None = None
    #: Excluded with all its prereleases: 2.0.0-rc.1 is not `^1.0.0`, although it comes before 2.0.0.
    below: semver.Version | None = None

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """The range in a text.

        Raises:
            ValueError: it is none.
        """
        text = text.strip()
        if text == "*":
            return cls()
        if text[:1] in {"^", "~"}:
            least = parse_version(text[1:].strip())
            return cls(least=least, below=_next_caret(least) if text[0] == "^" else least.bump_minor())
        exact = parse_version(text)
        return cls(least=exact, greatest=exact)

    @classmethod
    def between(cls, least: str | None, greatest: str | None) -> VersionRange:
        """The versions from `least` to `greatest`, both included.

        Raises:
            ValueError: one of them is no version.
        """
        return cls(
            least=None if least is None else parse_version(least),
            greatest=None if greatest is None else parse_version(greatest),
        )

    def allows(self, version: str) -> bool:
        """Whether this version will do.

        Raises:
            ValueError: it is none.
        """
        found = parse_version(version)
        return (
            (self.least is None or found >= self.least)
            and (self.greatest is None or found <= self.greatest)
            and (self.below is None or found.finalize_version() < self.below)
        )


def _next_caret(version: semver.Version) -> semver.Version:
    """The first release that may break what this one promised: the leftmost number that is not 0 goes up."""
    if version.major:
        return version.bump_major()
    return version.bump_minor() if version.minor else version.bump_patch()
