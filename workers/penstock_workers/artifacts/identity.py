"""Which native code a file may hold: everything that must be equal before it may be loaded."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from penstock_plugins.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactIdentity:
    """Names one artifact. The authentication code covers it, so that no artifact passes for another."""

    #: Digest of the bundle.
    digest: str
    #: SHA-256 of the module inside it, the only file that is compiled.
    module_sha256: str
    #: `component` or `core`.
    kind: str
    #: Fingerprint of the engine's settings.
    engine: str
    #: Version of wasmtime: no other reads its native code.
    wasmtime: str
    #: Machine and CPU features that the code may use.
    cpu: str

    @classmethod
    def here(cls, *, digest: str, wasm: bytes, kind: str, engine: str) -> ArtifactIdentity:
        """What this host makes of a module; `engine` is the fingerprint of its settings.

        Raises:
            ConfigurationError: wasmtime is not installed.
        """
        sha256 = hashlib.sha256(wasm).hexdigest()
        return cls.of_module(digest=digest, module_sha256=sha256, kind=kind, engine=engine)

    @classmethod
    def of_module(cls, *, digest: str, module_sha256: str, kind: str, engine: str) -> ArtifactIdentity:
        """What this host makes of a module that need not be at hand. Raises as `here` does."""
        return cls(
            digest=digest,
            module_sha256=module_sha256,
            kind=kind,
            engine=engine,
            wasmtime=wasmtime_version(),
            cpu=host_cpu(),
        )

    def context(self) -> bytes:
        """One spelling of all fields, which is authenticated together with the code."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @property
    def name(self) -> str:
        """A file name without suffix; begins with the bundle's digest, for people who look."""
        return f"{self.digest[:16]}-{hashlib.sha256(self.context()).hexdigest()[:32]}"


@cache
def wasmtime_version() -> str:
    """The installed wasmtime, read from its metadata: it need not be loaded for that.

    It is read once, so that an upgrade under a running worker is noticed instead of followed.

    Raises:
        ConfigurationError: wasmtime is not installed.
    """
    try:
        return version("wasmtime")
    except PackageNotFoundError as error:
        raise ConfigurationError("wasmtime is missing: install penstock[worker].") from error


@cache
def host_cpu() -> str:
    """The machine and a digest of its CPU's features, as the kernel lists them."""
    features: set[str] = set()
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            features.update(value.split())
            break
    digest = hashlib.sha256(" ".join(sorted(features)).encode()).hexdigest()[:16]
    return f"{platform.machine()}-{digest}"
