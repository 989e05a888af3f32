"""Several hosts for real: `compose/` on a Docker engine, with hosts killed, cut off and restarted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import docker
from pytest_celery import CeleryTestSetup

from penstock_plugins.result import ToolResult
from penstock_scheduler import Job, Producer
from tests.support.compose_project import ComposeProject
from tests.support.waiting import wait_until

WAIT_S = 120.0
#: Seconds between two rows of a stream that is to last, and not to keep the machine busy.
_PACE_S = 0.001
#: Rows after which a stream may have reached every host.
_UNDER_WAY = 2000


class Stream:
    """Rows for a `map` that goes on until somebody says that it is enough."""

    def __init__(self, pace_s: float) -> None:
        self.sent = 0
        self._pace_s = pace_s
        self._enough = threading.Event()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while not self._enough.wait(self._pace_s):
            yield {"text": f"Row {self.sent}"}
            self.sent += 1

    def enough(self) -> None:
        """No more rows."""
        self._enough.set()


def through(hosts: ComposeProject, disturb: Callable[[], None], *, pace_s: float = 0.0) -> list[ToolResult]:
    """The results of a job that was under way before the disturbance, and ends after it.

    At no pace there is always more than the hosts can do, so that each of them has calls at any moment.
    """
    stream = Stream(pace_s)
    with Producer(hosts.settings_of("producer")) as producer:
        job = producer.map("text.slug", stream)
        try:
            wait_until(lambda: _is_under_way(job), WAIT_S, "the job is under way on both hosts")
            disturb()
            done = job.progress().done
            wait_until(lambda: job.progress().done >= done + _UNDER_WAY, WAIT_S, "the job goes on")
        finally:
            stream.enough()
        results = job.result(wait_s=WAIT_S)
    assert [result.data for result in results] == [{"slug": f"row-{n}"} for n in range(stream.sent)]
    return list(results)


def _is_under_way(job: Job[list[ToolResult]]) -> bool:
    done = job.progress().done
    return done >= _UNDER_WAY and hosts_of(islice(job.results(), done)) == {"worker-a", "worker-b"}


def hosts_of(results: Iterable[ToolResult]) -> set[str]:
    """Where the calls ran."""
    return {str(result.metadata.worker).partition("@")[2].partition(":")[0] for result in results}


def test_every_container_has_what_it_needs_and_no_more(
    hosts: ComposeProject, docker_client: docker.DockerClient
) -> None:
    """Not root, nothing to write but its volumes, no capability, an init; native code may be mapped."""
    for service in ("redis", "worker-a", "worker-b", "scheduler-a", "scheduler-b", "flower"):
        container = hosts.container(docker_client, service)
        host, config = container.attrs["HostConfig"], container.attrs["Config"]
        status = container.exec_run("cat /proc/1/status /proc/self/mounts")[1].decode()

        assert (host["ReadonlyRootfs"], host["CapDrop"], host["Init"]) == (True, ["ALL"], True)
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert config["User"].partition(":")[0] not in {"", "0", "root"}
        assert "CapEff:\t0000000000000000" in status
        assert container.exec_run("touch /anything")[0] != 0
        rows = [line.split() for line in status.splitlines() if line.startswith("/dev/")]
        mounts = {row[1]: row[3] for row in rows}
        if service.startswith("worker"):
            assert "noexec" not in mounts["/var/cache/penstock"].split(",")
            assert config["StopTimeout"] > 30


def test_a_plugin_published_once_is_warm_on_both_hosts(celery_setup: CeleryTestSetup) -> None:
    """One host compiles it; the other takes what that one has made, checks it, and maps it."""
    for worker in celery_setup.worker_cluster:
        worker.wait_for_log("Published since, and warm: text@", timeout=60)

    told = "".join(worker.logs() for worker in celery_setup.worker_cluster)

    assert told.count("(compiled here)") == 1
    assert told.count("(taken from the fleet)") == 1


def test_a_batch_job_runs_on_both_hosts(hosts: ComposeProject, celery_setup: CeleryTestSetup) -> None:
    """Celery's control reaches both under their names, and both take part in one job."""
    pongs = celery_setup.app.control.broadcast("ping", reply=True, limit=2, timeout=30)

    results = through(hosts, lambda: None)

    assert {name for pong in pongs for name in pong} == {
        worker.hostname() for worker in celery_setup.worker_cluster
    }
    assert hosts_of(results) == {"worker-a", "worker-b"}


def test_B4_a_killed_host_loses_nothing(hosts: ComposeProject, celery_setup: CeleryTestSetup) -> None:
    """SIGKILL to all of a host while it works; the other finishes the job, and it comes back."""
    killed = celery_setup.worker_cluster[0]

    results = through(hosts, killed.kill)

    assert killed.container.status == "exited"
    assert hosts_of(results) == {"worker-a", "worker-b"}
    assert hosts_of(results[-500:]) == {"worker-b"}
    killed.container.restart()
    hosts.wait_until_healthy()


def test_B4_a_host_that_is_cut_off_loses_nothing(
    hosts: ComposeProject, celery_setup: CeleryTestSetup, docker_client: docker.DockerClient
) -> None:
    """Its network is taken away while it works; the other finishes, and it works again once it is back."""
    alone = celery_setup.worker_cluster[1].container
    network = docker_client.networks.get(f"{hosts.name}_default")

    results = through(hosts, lambda: network.disconnect(alone.id))
    network.connect(alone.id, aliases=["worker-b"])
    wait_until(lambda: _works(hosts, "worker-b"), WAIT_S, "worker-b runs calls again")

    assert hosts_of(results) == {"worker-a", "worker-b"}
    assert hosts_of(results[-500:]) == {"worker-a"}


def _works(hosts: ComposeProject, host: str) -> bool:
    with Producer(hosts.settings_of("producer")) as producer:
        rows = ({"text": f"Row {n}"} for n in range(_UNDER_WAY))
        return host in hosts_of(list(producer.map("text.slug", rows).result(wait_s=WAIT_S)))


def test_B4_a_rolling_restart_loses_nothing(hosts: ComposeProject) -> None:
    """Each service in turn, the ledger's Redis too, while one job runs: all calls end well, each once."""

    def roll() -> None:
        for service in ("worker-a", "worker-b", "scheduler-a", "scheduler-b", "redis"):
            hosts.compose("restart", "--timeout", "45", service)
            hosts.wait_until_healthy()

    results = through(hosts, roll, pace_s=_PACE_S)

    assert hosts_of(results) == {"worker-a", "worker-b"}


def test_nobody_was_refused_anything(hosts: ComposeProject, docker_client: docker.DockerClient) -> None:
    """Since Redis was restarted, no role wanted more than its user may do."""
    password = hosts.settings_of("operator").redis_url or ""
    log = hosts.container(docker_client, "redis").exec_run(
        ["redis-cli", "-u", password.rpartition("@")[0] + "@127.0.0.1:6379", "--json", "ACL", "LOG"]
    )

    assert json.loads(log.output.decode().splitlines()[-1]) == []
