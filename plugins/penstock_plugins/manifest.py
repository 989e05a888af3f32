"""`plugin.toml`: what a plugin says of itself and asks for; read strictly, all problems at once (P-3)."""

from __future__ import annotations

import tomllib
from collections import Counter
from typing import Any

import orjson
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from penstock_plugins.errors import ManifestError
from penstock_plugins.limits import Limits
from penstock_plugins.manifest_artifact import BuildTable, CompositeTable, WasmTable
from penstock_plugins.manifest_problems import describe
from penstock_plugins.manifest_table import NAME, Table
from penstock_plugins.manifest_tool import ToolTable
from penstock_plugins.printable import printable
from penstock_plugins.tool import TOOL_NAME
from penstock_plugins.versions import VersionRange, parse_version

__all__ = [
    "MAX_MANIFEST_BYTES",
    "NAME",
    "TOOL_NAME",
    "Manifest",
    "ToolTable",
    "WasmTable",
    "dump",
    "manifest_from",
    "read_manifest",
]

#: A larger manifest is refused unread.
MAX_MANIFEST_BYTES = 64 * 1024
#: Dots in one line: reading a dotted key takes the square of its parts (17 s for 60 KB of them).
_MAX_DOTS = 500
#: Problems that one error carries.
_MAX_PROBLEMS = 100
_NO_WASM = WasmTable(capabilities=("log",))


class RangeTable(Table):
    """`{min = "1.0.0", max = "1.9.9"}`: versions from one to the other, both included."""

    min: str | None = None
    max: str | None = None

    @model_validator(mode="after")
    def _versions(self) -> RangeTable:
        VersionRange.between(self.min, self.max)
        return self

    def range(self) -> VersionRange:
        """The range."""
        return VersionRange.between(self.min, self.max)


class Manifest(Table):
    """A plugin's manifest."""

    name: str
    version: str
    description: str = ""
    author: str = ""
    #: Where there is no such table, the plugin is a component that asks for `log`.
    wasm: WasmTable = Field(default_factory=lambda: _NO_WASM)
    tools: tuple[ToolTable, ...] = Field(default=(), alias="tool")
    #: Where there is such a table, the plugin is of kind `composite`: pipelines, no artifact.
    composite: CompositeTable | None = None
    #: How it is built, and calls that say what it must do: for its author, and in no record of it.
    build: BuildTable = Field(default=BuildTable(), exclude=True)
    examples: tuple[dict[str, Any], ...] = Field(default=(), alias="example", exclude=True)
    #: Tools that must be there, by full name, with the range of versions that will do.
    requires: dict[str, str | RangeTable] = Field(default_factory=dict)
    #: Releases of Penstock that will do. Below the least is an error, above the greatest a warning.
    min_host: str | None = None
    max_host: str | None = None
    #: JSON Schema of the plugin's configuration. Empty: it has none.
    config: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _plugin_name(cls, value: str) -> str:
        if not value:
            raise ValueError("name is required")
        if not NAME.fullmatch(value):
            raise ValueError(
                "must begin with a lower-case letter and have lower-case letters, digits, - and _ only"
            )
        return value

    @field_validator("version")
    @classmethod
    def _own_version(cls, value: str) -> str:
        if not value:
            raise ValueError("version is required")
        parse_version(value)
        return value

    @field_validator("min_host", "max_host")
    @classmethod
    def _host_version(cls, value: str | None) -> str | None:
        if value is not None:
            parse_version(value)
        return value

    @field_validator("tools", "examples", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, list | tuple):
            what = "tool" if info.field_name == "tools" else "example"
            raise ValueError(f"write each {what} as a table of its own: [[{what}]]")  # noqa: TRY004 -- see texts_like
        return tuple(value)

    @field_validator("tools")
    @classmethod
    def _distinct(cls, value: tuple[ToolTable, ...]) -> tuple[ToolTable, ...]:
        counts = Counter(tool.name for tool in value)
        if doubled := sorted(name for name, times in counts.items() if times > 1):
            raise ValueError(f"declared twice: {', '.join(doubled[:5])}")
        return value

    @field_validator("requires")
    @classmethod
    def _ranges(cls, value: dict[str, str | RangeTable]) -> dict[str, str | RangeTable]:
        wrong = []
        for tool, versions in value.items():
            plugin, dot, name = tool.partition(".")
            if not (dot and NAME.fullmatch(plugin) and TOOL_NAME.fullmatch(name)):
                wrong.append(f"{printable(tool, 80)!r} is no tool's full name such as text.stats")
            elif isinstance(versions, str):
                try:
                    VersionRange.parse(versions)
                except ValueError as error:
                    wrong.append(f"{tool}: {printable(error)} (also ^1.2.0, ~1.2.0 and *)")
        if wrong:
            raise ValueError("; ".join(wrong[:5]))
        return value

    @field_validator("config")
    @classmethod
    def _schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value:
            # Imported here: most plugins have no configuration.
            from penstock_plugins.schema import check_schema

            try:
                check_schema(value)
            except ManifestError as error:
                raise ValueError("; ".join(error.problems)) from error
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Manifest:
        if self.composite is not None and (self.tools or self.wasm != _NO_WASM):
            raise ValueError(
                "a plugin with [composite] has neither [wasm] nor [[tool]]: its tools say all in their files"
            )
        return self

    @property
    def kind(self) -> str:
        """`component`, `core`, `python`, `native` or `composite`."""
        return self.wasm.kind if self.composite is None else "composite"

    @property
    def artifacts(self) -> tuple[str, ...]:
        """The files that must be beside the manifest."""
        return (self.wasm.module,) if self.composite is None else self.composite.files

    @property
    def future(self) -> list[str]:
        """What it says that has no effect yet: keys of the manifest, which a later release will act on."""
        given = {
            "wasm.net": self.wasm.net.allow,
            "wasm.limits.http_requests": self.wasm.limits.http_requests is not None,
            "config": self.config,
            **{f"cache_ttl_s of {tool.name}": tool.cache_ttl_s is not None for tool in self.tools},
        }
        return [key for key, is_said in given.items() if is_said]

    def limits(self) -> Limits:
        """What one call may use up, as far as the manifest says; defaults elsewhere."""
        given = self.wasm.limits.model_dump(exclude_none=True, exclude={"http_requests", "deadline_s"})
        if self.wasm.limits.deadline_s is not None:
            given["timeout_s"] = self.wasm.limits.deadline_s
        return Limits(**given)

    def tool_table(self, name: str) -> ToolTable | None:
        """The `[[tool]]` table of that name."""
        return next((tool for tool in self.tools if tool.name == name), None)

    def requirements(self) -> dict[str, VersionRange]:
        """The tools that must be there, by full name."""
        return {
            tool: VersionRange.parse(versions) if isinstance(versions, str) else versions.range()
            for tool, versions in self.requires.items()
        }


def read_manifest(raw: bytes, *, path: str = "plugin.toml") -> Manifest:
    """Read a manifest.

    Args:
        raw: the TOML text.
        path: where it came from, for messages.

    Raises:
        ManifestError: it cannot be used; has every problem.
    """
    if len(raw) > MAX_MANIFEST_BYTES:
        raise ManifestError(
            f"Invalid manifest: {len(raw)} bytes; at most {MAX_MANIFEST_BYTES} are read", path
        )
    if any(line.count(b".") > _MAX_DOTS for line in raw.split(b"\n")):
        raise ManifestError(f"Invalid manifest: a line has more than {_MAX_DOTS} dots: break it up", path)
    try:
        shape = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:  # among the ValueErrors a number with too many digits
        raise ManifestError(f"Invalid manifest: {printable(error) or type(error).__name__}", path) from error
    return manifest_from(shape, path=path)


def manifest_from(shape: object, *, path: str = "plugin.toml") -> Manifest:
    """The manifest in a parsed document, such as one that `dump` wrote.

    Raises:
        ManifestError: it cannot be used; has every problem.
    """
    try:
        manifest = Manifest.model_validate(shape)
        orjson.dumps(dump(manifest))  # it travels in the plugin's record
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        problems = [describe(item, Manifest) for item in found[:_MAX_PROBLEMS]]
        if len(found) > _MAX_PROBLEMS:
            problems.append(f"and {len(found) - _MAX_PROBLEMS} more")
        raise ManifestError(problems, path) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise ManifestError(f"Invalid manifest: {printable(error)}", path) from error
    return manifest


def dump(manifest: Manifest) -> dict[str, Any]:
    """The manifest as JSON values; `manifest_from` reads it back."""
    return manifest.model_dump(mode="json", by_alias=True, exclude_none=True)
