"""Native code of plugins: compiled once per host, authenticated, and lent to pool processes.

Nothing here loads wasmtime, except the process that compiles.
"""

from penstock_workers.artifacts.client import ArtifactClient
from penstock_workers.artifacts.compiler import CompileLimits, compile_wasm
from penstock_workers.artifacts.local import LocalArtifacts
from penstock_workers.artifacts.server import ArtifactServer
from penstock_workers.artifacts.source import ArtifactSource, OpenedArtifact
from penstock_workers.artifacts.stock import Preparation, Ready
from penstock_workers.artifacts.store import ArtifactStore

__all__ = [
    "ArtifactClient",
    "ArtifactServer",
    "ArtifactSource",
    "ArtifactStore",
    "CompileLimits",
    "LocalArtifacts",
    "OpenedArtifact",
    "Preparation",
    "Ready",
    "compile_wasm",
]
