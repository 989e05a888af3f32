"""Packages that cannot be installed, by the real npm and pip: no registry is there, or none to trust."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from penstock_plugins.errors import BuildError
from penstock_workers.toolchain.build import build_plugin
from penstock_workers.toolchain.new_project import new_plugin
from penstock_workers.toolchain.toolchains import pip
from tests.support.ports import free_port


@contextmanager
def untrusted_registry(folder: Path) -> Iterator[str]:
    """A server whose certificate nobody has signed but itself."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "1",
                "-subj",
                "/CN=localhost",
            ),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"https://localhost:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Empty caches, and no proxy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


def npm_error(folder: Path, environment: pytest.MonkeyPatch, registry: str) -> str:
    """What building a plugin in JavaScript says when its tools come from there."""
    environment.setenv("npm_config_registry", registry)
    new_plugin("greeter", "js", folder)
    with pytest.raises(BuildError) as failed:
        build_plugin(folder)
    return str(failed.value)


def pip_error(folder: Path, environment: pytest.MonkeyPatch, index: str) -> str:
    """What installing a package says that should come from there."""
    environment.setenv("PIP_INDEX_URL", index)
    with pytest.raises(BuildError) as failed:
        pip(["--no-deps", "--target", str(folder / "target"), "inflection==0.5.1"], folder)
    return str(failed.value)


def test_npm_without_a_network_says_so(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    """And what to look at."""
    error = npm_error(tmp_path / "greeter", environment, f"http://127.0.0.1:{free_port()}/")

    assert error.startswith("npm could not install componentize-qjs@")
    assert "ECONNREFUSED" in error
    assert error.endswith("Once installed, nothing is fetched again")


def test_npm_that_does_not_trust_the_registry_says_how_to_make_it(
    tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    """As behind a proxy that signs with a certificate of its own."""
    environment.delenv("NODE_EXTRA_CA_CERTS", raising=False)

    with untrusted_registry(tmp_path) as registry:
        error = npm_error(tmp_path / "greeter", environment, registry)

    assert "SELF_SIGNED_CERT" in error
    assert "set NODE_EXTRA_CA_CERTS (npm)" in error.splitlines()[-1]


def test_pip_says_the_same(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    """Of both."""
    refused = pip_error(tmp_path, environment, f"http://127.0.0.1:{free_port()}/simple")
    with untrusted_registry(tmp_path) as registry:
        untrusted = pip_error(tmp_path, environment, f"{registry}simple")

    assert refused.startswith("pip could not install inflection==0.5.1:")
    assert refused.splitlines()[-1].startswith("The registry cannot be reached")
    assert "PIP_CERT (pip)" in untrusted.splitlines()[-1]
