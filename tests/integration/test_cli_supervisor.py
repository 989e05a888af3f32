"""Children that are kept running, and ended."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from penstock import supervisor as module
from penstock.supervisor import Child, Supervisor, backoff_s

#: Says its name, and then nothing until it is told to end.
PATIENT = "import signal, sys; print('up', flush=True); signal.pause()"
#: The same, but SIGTERM does not move it; it has a child that shares its fate.
STUBBORN = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: print('no', flush=True))
subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])
print('up', flush=True)
while True:
    signal.pause()
"""


class Ear:
    """Hears what the children say."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self._news = asyncio.Event()

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self._news.set()

    async def hear(self, name: str, text: str, times: int = 1) -> None:
        """Wait until a child has said this so many times."""
        async with asyncio.timeout(60):
            while sum(who == name and text in line for who, line in self.lines) < times:
                self._news.clear()
                await self._news.wait()


def child(name: str, program: str, *arguments: str) -> Child:
    """A child that runs a few lines of Python."""
    return Child(name=name, command=(sys.executable, "-c", program, *arguments))


async def test_lines_come_with_the_name_of_their_child() -> None:
    """Whatever its length, and without its end."""
    ear = Ear()
    keeper = Supervisor([[child("a", f"print('x' * 100_000 + 'end'); {PATIENT}")]], say=ear)

    keeper.start()
    await ear.hear("a", "up")
    await keeper.stop(soft_s=30, hard=asyncio.Event())

    assert "".join(line for _, line in ear.lines).startswith("x" * 100_000 + "end")


async def test_a_child_that_dies_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a note that says how it ended."""
    monkeypatch.setattr(module, "FIRST_BACKOFF_S", 0.01)
    ear = Ear()
    keeper = Supervisor([[child("a", "import sys; print('up', flush=True); sys.exit(7)")]], say=ear)

    keeper.start()
    await ear.hear("a", "up", times=3)
    await keeper.stop(soft_s=30, hard=asyncio.Event())

    assert ("a", "ended with status 7; starting it again in 0.01 s") in ear.lines
    assert keeper.pids == {}


async def test_a_child_that_refuses_its_configuration_is_not_started_again() -> None:
    """It would say the same again."""
    keeper = Supervisor([[child("a", "import sys; sys.exit(2)")], [child("b", PATIENT)]], say=Ear())

    keeper.start()
    async with asyncio.timeout(60):
        await keeper.gave_up.wait()
    await keeper.stop(soft_s=30, hard=asyncio.Event())

    assert keeper.refused == "a"


async def test_groups_are_stopped_in_order(tmp_path: Path) -> None:
    """The second is told to end when the first has ended."""
    program = """
import signal, sys
def end(*_):
    with open(sys.argv[1], 'a') as file:
        file.write(sys.argv[2])
    sys.exit()
signal.signal(signal.SIGTERM, end)
print('up', flush=True)
signal.pause()
"""
    order, ear = tmp_path / "order", Ear()
    groups = [[child(n, program, str(order), n) for n in names] for names in (["a", "b"], ["c"])]
    keeper = Supervisor(groups, say=ear)

    keeper.start()
    for name in "abc":
        await ear.hear(name, "up")
    await keeper.stop(soft_s=30, hard=asyncio.Event())

    assert sorted(order.read_text()[:2]) == ["a", "b"]
    assert order.read_text()[2:] == "c"


async def test_a_child_that_does_not_end_is_killed_with_all_that_it_started() -> None:
    """When it is told so, without waiting for the time that it would have."""
    ear, hard = Ear(), asyncio.Event()
    keeper = Supervisor([[child("a", STUBBORN)]], say=ear)

    keeper.start()
    await ear.hear("a", "up")
    stopping = asyncio.create_task(keeper.stop(soft_s=3600, hard=hard))
    await ear.hear("a", "no")
    hard.set()
    async with asyncio.timeout(60):
        await stopping

    assert keeper.pids == {}
    assert ("a", "killed") in ear.lines


async def test_a_child_that_takes_too_long_is_killed() -> None:
    """A soft stop has an end."""
    ear = Ear()
    keeper = Supervisor([[child("a", STUBBORN)]], say=ear)

    keeper.start()
    await ear.hear("a", "up")
    await keeper.stop(soft_s=0.05, hard=asyncio.Event())

    assert keeper.pids == {}
    assert ("a", "did not end in time and was killed") in ear.lines


def test_the_back_off_grows_to_a_limit() -> None:
    """A child that dies at once does not keep the machine busy."""
    assert [backoff_s(deaths) for deaths in (1, 2, 3, 20)] == [0.5, 1.0, 2.0, 20.0]
