"""Finds what builds plugins, or installs it by name and exact version into a private cache.

Only authors' machines need any of it; workers never do. What the environment has already, in the version that
we pin, is used as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import importlib.util
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import platformdirs

from penstock_plugins.errors import BuildError
from penstock_workers.toolchain.command import Command

#: How a build says that it is about to do something that takes long.
Say = Callable[[str], None]

ZIG = "ziglang==0.17.0"
COMPONENTIZE_PY = "componentize-py==0.25.1"
#: The Python inside of a component that this componentize-py builds.
PYTHON_INSIDE = "3.14"

#: How npm and pip say that they do not trust the registry, and that they do not reach it.
_UNTRUSTED = re.compile(
    r"SELF_SIGNED_CERT|UNABLE_TO_GET_ISSUER_CERT|UNABLE_TO_VERIFY_LEAF|CERT_HAS_EXPIRED|CERT_UNTRUSTED"
    r"|ALTNAME_INVALID|CERTIFICATE_VERIFY_FAILED"
)
_UNREACHABLE = re.compile(
    r"ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|NewConnectionError"
    r"|ConnectTimeout|ProxyError|Failed to establish a new connection|[Nn]ame resolution"
)
#: What npm says that helps nobody here.
_NOISE = re.compile(r"^npm (error|ERR!)\s*$|^npm (error|ERR!)\s+at |A complete log of this run")


def silent(_: str) -> None:
    """Say nothing."""


def zig(say: Say = silent) -> Command:
    """The C compiler, from PyPI.

    Raises:
        BuildError: it is not there and cannot be installed.
    """
    return _python_program(ZIG, "ziglang", ("-m", "ziglang"), say)


def componentize_py(say: Say = silent) -> Command:
    """What puts Python into a component, from PyPI.

    Raises:
        BuildError: it is not there and cannot be installed.
    """
    run = "from componentize_py import script; script()"
    return _python_program(COMPONENTIZE_PY, "componentize_py", ("-c", run), say)


def pip(arguments: Sequence[str], cwd: Path) -> None:
    """Run this Python's pip, to install.

    Raises:
        BuildError: there is none, or it fails; with the end of what it says.
    """
    if importlib.util.find_spec("pip") is None:
        raise BuildError(
            f"This needs {arguments[-1]}, and {sys.executable} has no pip to install it with: "
            "run it with `-m ensurepip`, or install that package yourself"
        )
    command = (
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--retries=1",
    )
    install_with("pip", Command(arguments=command), arguments, cwd)


def install_with(program: str, command: Command, arguments: Sequence[str], cwd: Path) -> None:
    """Run what installs packages.

    Args:
        program: what it is called.
        command: how it is run.
        arguments: to it; the packages among them.
        cwd: where it is run.

    Raises:
        BuildError: it fails; with the end of what it says.
    """
    done = command.run(*arguments, cwd=cwd)
    if done.returncode != 0:
        named = " ".join(argument for argument in arguments if not argument.startswith(("-", "/")))
        what = named or "the packages that the plugin names"
        said = done.stderr.strip() or done.stdout.strip()
        lines = [line for line in said.splitlines() if not _NOISE.search(line)]
        shown = [*lines[:4], "…", *lines[-8:]] if len(lines) > 13 else lines
        raise BuildError("\n".join([f"{program} could not install {what}:", *shown, *_advice(said)]))


def installed(name: str, install: Callable[[Path], None], message: str, say: Say) -> Path:
    """A folder of the cache, which `install` fills when it is not there yet.

    It appears whole or not at all, and once however many builds want it.
    """
    cache = toolchain_cache()
    folder = cache / name
    if folder.is_dir():
        return folder
    with _locked(cache / f".{name}.lock"):
        if folder.is_dir():
            return folder
        say(message)
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=cache) as unfinished:
            install(Path(unfinished))
            # Not the temporary folder itself: its removal must find something to remove.
            inside = Path(unfinished) / "finished"
            inside.mkdir()
            for entry in list(Path(unfinished).iterdir()):
                if entry != inside:
                    entry.rename(inside / entry.name)
            inside.rename(folder)
    return folder


def toolchain_cache() -> Path:
    """Where toolchains are kept. May be deleted at any time."""
    cache = Path(platformdirs.user_cache_dir("penstock", appauthor=False)) / "toolchains"
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    return cache


def _python_program(requirement: str, module: str, run: tuple[str, ...], say: Say) -> Command:
    name, _, version = requirement.partition("==")
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        if importlib.metadata.version(name) == version and importlib.util.find_spec(module) is not None:
            return Command(arguments=(sys.executable, *run))
    folder = installed(
        f"{name}-{version}",
        lambda target: pip(["--no-deps", "--target", str(target), requirement], target),
        f"Installing {requirement} from PyPI, once",
        say,
    )
    return Command(arguments=(sys.executable, *run), environment={"PYTHONPATH": str(folder)})


def _advice(said: str) -> Iterator[str]:
    """What to do about a failed install, where npm or pip leaves one guessing."""
    if _UNTRUSTED.search(said):
        yield (
            "The registry's certificate is not trusted here, as behind a proxy that looks into connections:"
            " set NODE_EXTRA_CA_CERTS (npm) or PIP_CERT (pip) to the file with your network's certificates,"
            " such as /etc/ssl/certs/ca-certificates.crt"
        )
    elif _UNREACHABLE.search(said):
        yield (
            "The registry cannot be reached: check the network, and HTTPS_PROXY where there is a proxy."
            " Once installed, nothing is fetched again"
        )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
