"""What a tool is and how a plugin brings it: manifests, bundles, catalogs, declarations, results, errors.

Knows no queue and no sandbox. Nothing is loaded before it is asked for (PEP 562), so that a program which
wants one name pays for one name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

# Loaded at once: a module and what it is for have the same name, and the first one loaded would keep it.
from penstock_plugins.declarations import declarations

if TYPE_CHECKING:
    from penstock_plugins.bundle import Bundle as Bundle
    from penstock_plugins.bundle import FileEntry as FileEntry
    from penstock_plugins.bundle import bundle_digest as bundle_digest
    from penstock_plugins.bundle import read_bundle as read_bundle
    from penstock_plugins.catalog import Catalog as Catalog
    from penstock_plugins.declarations import model_name as model_name
    from penstock_plugins.declarations import tool_of_model_name as tool_of_model_name
    from penstock_plugins.discovery import Discovery as Discovery
    from penstock_plugins.discovery import Found as Found
    from penstock_plugins.discovery import discover as discover
    from penstock_plugins.error_codes import ErrorCode as ErrorCode
    from penstock_plugins.errors import ERROR_CLASSES as ERROR_CLASSES
    from penstock_plugins.errors import BundleError as BundleError
    from penstock_plugins.errors import CatalogError as CatalogError
    from penstock_plugins.errors import ManifestError as ManifestError
    from penstock_plugins.errors import ParamsError as ParamsError
    from penstock_plugins.errors import PenstockError as PenstockError
    from penstock_plugins.errors import ToolError as ToolError
    from penstock_plugins.errors import ToolNotFoundError as ToolNotFoundError
    from penstock_plugins.folder_catalog import FolderCatalog as FolderCatalog
    from penstock_plugins.index import ResolvedTool as ResolvedTool
    from penstock_plugins.index import ToolIndex as ToolIndex
    from penstock_plugins.limits import Limits as Limits
    from penstock_plugins.manifest import Manifest as Manifest
    from penstock_plugins.manifest import read_manifest as read_manifest
    from penstock_plugins.policy import Grants as Grants
    from penstock_plugins.policy import OperatorPolicy as OperatorPolicy
    from penstock_plugins.policy import narrow as narrow
    from penstock_plugins.record import PluginRecord as PluginRecord
    from penstock_plugins.result import ResultMetadata as ResultMetadata
    from penstock_plugins.result import ToolFailure as ToolFailure
    from penstock_plugins.result import ToolResult as ToolResult
    from penstock_plugins.schema import ParamsSchema as ParamsSchema
    from penstock_plugins.schema import check_schema as check_schema
    from penstock_plugins.shipped import shipped_plugins as shipped_plugins
    from penstock_plugins.shipped import wit_folder as wit_folder
    from penstock_plugins.tool import Tool as Tool
    from penstock_plugins.tool import Traits as Traits

#: Where each name lives, by module of this package.
_HOMES = {
    "bundle": ("Bundle", "FileEntry", "bundle_digest", "read_bundle"),
    "catalog": ("Catalog",),
    "declarations": ("model_name", "tool_of_model_name"),
    "discovery": ("Discovery", "Found", "discover"),
    "error_codes": ("ErrorCode",),
    "errors": (
        "ERROR_CLASSES",
        "BundleError",
        "CatalogError",
        "ManifestError",
        "ParamsError",
        "PenstockError",
        "ToolError",
        "ToolNotFoundError",
    ),
    "folder_catalog": ("FolderCatalog",),
    "index": ("ResolvedTool", "ToolIndex"),
    "limits": ("Limits",),
    "manifest": ("Manifest", "read_manifest"),
    "policy": ("Grants", "OperatorPolicy", "narrow"),
    "record": ("PluginRecord",),
    "result": ("ResultMetadata", "ToolFailure", "ToolResult"),
    "schema": ("ParamsSchema", "check_schema"),
    "shipped": ("shipped_plugins", "wit_folder"),
    "tool": ("Tool", "Traits"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ERROR_CLASSES",
    "Bundle",
    "BundleError",
    "Catalog",
    "CatalogError",
    "Discovery",
    "ErrorCode",
    "FileEntry",
    "FolderCatalog",
    "Found",
    "Grants",
    "Limits",
    "Manifest",
    "ManifestError",
    "OperatorPolicy",
    "ParamsError",
    "ParamsSchema",
    "PenstockError",
    "PluginRecord",
    "ResolvedTool",
    "ResultMetadata",
    "Tool",
    "ToolError",
    "ToolFailure",
    "ToolIndex",
    "ToolNotFoundError",
    "ToolResult",
    "Traits",
    "bundle_digest",
    "check_schema",
    "declarations",
    "discover",
    "model_name",
    "narrow",
    "read_bundle",
    "read_manifest",
    "shipped_plugins",
    "tool_of_model_name",
    "wit_folder",
]


if not TYPE_CHECKING:  # type checkers see the imports above, and so refuse other names

    def __getattr__(name: str) -> object:
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{home}"), name)
        globals()[name] = value  # asked for once
        return value


def __dir__() -> list[str]:
    return __all__
