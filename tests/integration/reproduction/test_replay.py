"""Replays in processes of their own: calls that return, that fail, and that take their process with them."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from penstock_plugins.bundle import Bundle, read_bundle
from penstock_plugins.limits import Limits
from penstock_plugins.policy import OperatorPolicy
from penstock_plugins.shipped import shipped_plugins
from penstock_workers.reproduction.case import Case, Frozen, Reproduction
from penstock_workers.reproduction.file import read_reproduction, write_reproduction
from penstock_workers.reproduction.run import Ending, Here, Manner, policy_here, replay
from tests.conformance.guest import LOOP, guest
from tests.conformance.guests import GUESTS
from tests.conformance.worker_killer import killer_bundle
from tests.support.bundles import make_bundle
from tests.support.command_line import CommandLine
from tests.support.leftovers import started_here
from tests.support.waiting import wait_until

#: Goes on until somebody looks, however long that takes.
ENDLESS = guest("endless", call=LOOP, limits={"timeout_s": 60})


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all replays: what is compiled once is loaded."""
    return tmp_path_factory.mktemp("cache")


def of(bundle: Bundle, tool: str, params: bytes = b"{}", **changes: Any) -> Reproduction:
    """A reproduction of a call of that plugin, with the limits of its manifest."""
    limits = bundle.manifest.limits()
    return Reproduction(
        case=Case(
            **{
                "call": "j.0",
                "tool": f"{bundle.manifest.name}.{tool}",
                "plugin_digest": bundle.digest,
                "params_sha256": hashlib.sha256(params).hexdigest(),
                "capabilities": bundle.manifest.wasm.capabilities,
                "timeout_s": limits.timeout_s,
                "limits": asdict(limits),
                **changes,
            }
        ),
        params=params,
        bundle=bundle,
    )


def run(reproduction: Reproduction, cache_dir: Path, **here: Any) -> Ending:
    """Write it, and run what was written."""
    content = write_reproduction(reproduction)
    return replay(
        read_reproduction(content),
        content,
        Here(**{"cache_dir": cache_dir, "policy": OperatorPolicy(), **here}),
    )


def test_J3_a_call_that_does_well_here_succeeds(cache_dir: Path) -> None:
    """Its result is the tool's."""
    text = read_bundle(shipped_plugins() / "text")

    ending = run(of(text, "slug", b'{"text":"Hello, World"}'), cache_dir)

    assert ending.manner is Manner.SUCCEEDED
    assert ending.result is not None
    assert ending.result["data"] == {"slug": "hello-world"}


@pytest.mark.parametrize(("tool", "code"), [("loop", "TIMEOUT"), ("hog", "OUT_OF_MEMORY"), ("trap", "TRAP")])
def test_J3_the_limits_are_those_of_the_call(cache_dir: Path, tool: str, code: str) -> None:
    """A guest that is stopped there is stopped here."""
    hostile = read_bundle(shipped_plugins() / "hostile")

    ending = run(of(hostile, tool), cache_dir)

    assert ending.manner is Manner.FAILED
    assert ending.result is not None
    assert ending.result["error"]["code"] == code


def test_J3_a_call_that_kills_its_process_kills_no_other(cache_dir: Path) -> None:
    """It keeps the interpreter's lock: the kernel ends the process, and we say why."""
    ending = run(of(killer_bundle(), "run", b'{"boom":true}'), cache_dir, standstill_s=2.0)

    assert (ending.manner, ending.signal) == (Manner.DIED, signal.SIGXCPU)
    assert "stood still for 2 s of CPU" in ending.words
    assert run(of(killer_bundle(), "run", b'{"boom":false}'), cache_dir).manner is Manner.SUCCEEDED


def child() -> int:
    """The id of the process that replays a call for us; 0 when there is none."""
    return next((p.pid for p in started_here().values() if "penstock_workers.reproduction" in p.command), 0)


def test_a_process_that_somebody_kills_is_told(cache_dir: Path) -> None:
    """As the kernel does when memory is short."""
    loop = of(ENDLESS.bundle, "run", limits=asdict(Limits()), timeout_s=30.0)
    endings: list[Ending] = []
    thread = threading.Thread(target=lambda: endings.append(run(loop, cache_dir)))
    thread.start()

    os.kill(wait_until(child, 30, "the process runs"), signal.SIGKILL)
    thread.join(30)

    assert (endings[0].manner, endings[0].signal) == (Manner.DIED, signal.SIGKILL)
    assert "want of memory" in endings[0].words


def test_a_plugin_that_does_not_load_is_refused(cache_dir: Path) -> None:
    """Its compiler says why; no call was made."""
    ending = run(of(make_bundle(module=b"\0asm\x0d\0\x01\0garbage"), "stats"), cache_dir)

    assert (ending.manner, ending.result) == (Manner.REFUSED, None)
    assert ending.words


def test_W5_env_has_what_was_given_here_for_names_that_the_call_could_see(cache_dir: Path) -> None:
    """And nothing of this machine's environment."""
    asks = GUESTS["reads-the-environment"]
    reproduction = of(asks.bundle, "run", b"{}", env=("GREETING",))
    given = {"GREETING": "hello", "PATH": "/bin"}

    ending = run(reproduction, cache_dir, env=given)
    policy = policy_here(reproduction, Here(cache_dir=cache_dir, policy=OperatorPolicy(), env=given))

    assert policy.env == {"GREETING": "hello"}
    assert ending.manner is Manner.SUCCEEDED
    assert ending.result is not None
    assert "env-get PATH" in ending.result["metadata"]["denied"]


def test_S2_a_file_gets_no_more_than_this_machine_allows() -> None:
    """Whatever it claims: network and files need this machine's own consent, and limits its own width."""
    text = read_bundle(shipped_plugins() / "text")
    greedy = of(text, "slug", capabilities=("log", "wasi", "http", "fs"), limits={"memory_bytes": 1 << 40})
    here = Here(cache_dir=Path(), policy=OperatorPolicy(limits=Limits(memory_bytes=1 << 26)))

    policy = policy_here(greedy, here)
    consenting = policy_here(
        greedy, Here(cache_dir=Path(), policy=OperatorPolicy(capabilities=frozenset({"http"})))
    )

    assert policy.capabilities == {"log", "wasi"}
    assert policy.limits.memory_bytes == 1 << 26
    assert consenting.capabilities == {"log", "wasi", "http"}


def test_no_secret_of_ours_reaches_the_process(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no setting in its environment, and no value among its arguments."""
    monkeypatch.setenv("PENSTOCK_SIGNING_KEY", "a key of sixteen bytes and more")
    loop = of(ENDLESS.bundle, "run", limits=asdict(Limits()), timeout_s=30.0, env=("GREETING",))
    thread = threading.Thread(target=run, args=(loop, cache_dir), kwargs={"env": {"GREETING": "a secret"}})
    thread.start()
    seen: list[bytes] = []

    pid = wait_until(child, 30, "the process runs")

    def looked() -> bool:
        process = Path(f"/proc/{pid}")
        seen.append((process / "cmdline").read_bytes() + (process / "environ").read_bytes())
        return b"PATH=" in seen[-1]

    wait_until(looked, 30, "it has its environment")
    os.kill(pid, signal.SIGKILL)
    thread.join(30)

    assert not any(b"sixteen bytes" in each or b"a secret" in each for each in seen)


def test_J3_the_command_line_replays_a_file(tmp_path: Path, cache_dir: Path) -> None:
    """No broker, no Redis; exit code 0: it succeeds, 1: it fails, 2: that is no reproduction."""
    text = read_bundle(shipped_plugins() / "text")
    hostile = read_bundle(shipped_plugins() / "hostile")
    (tmp_path / "good.zip").write_bytes(
        write_reproduction(
            of(text, "slug", b'{"text":"Hi"}', wasmtime="49.0.0", frozen=Frozen(at_s=1, seed=2))
        )
    )
    (tmp_path / "bad.zip").write_bytes(write_reproduction(of(hostile, "trap")))
    (tmp_path / "none.zip").write_bytes(b"nothing")
    cli = CommandLine(tmp_path, {"PENSTOCK_CACHE_DIR": str(cache_dir)})

    good, shown = cli("replay", "good.zip", "--json"), cli("replay", "good.zip")
    bad, none, missing = (cli("replay", name) for name in ("bad.zip", "none.zip", "missing.zip"))
    narrow = CommandLine(tmp_path, {**cli.environment, "PENSTOCK_LIMITS": '{"memory_bytes": 65536}'})(
        "replay", "good.zip", "--json"
    )

    assert (good.code, good.json["outcome"], good.json["result"]["data"]) == (0, "succeeded", {"slug": "hi"})
    assert any("wasmtime: 49.0.0 there" in note for note in good.json["differences"])
    assert '"slug": "hi"' in shown.out
    assert (bad.code, "TRAP" in bad.err) == (1, True)
    assert (none.code, missing.code) == (2, 2)
    assert any(note.startswith("memory_bytes:") for note in narrow.json["differences"])
    assert narrow.code == 1
