"""Who may do what in Redis: a user for each role, with the commands and keys that it needs, as an ACL file.

Scripts run with the rights of who calls them, so a role has the commands of its scripts as well. Nobody may
empty, change or stop the server or load functions; plugins are published by the operator alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "penstock:"

#: What a connection of redis-py says before its first command, and what every process asks at its start.
_CONNECTION = "auth hello ping quit reset select client|setname info time"
#: The ledger's scripts, and the commands in them.
_SCRIPTS = "evalsha script|load"
_HASHES = "hset hsetnx hget hmget hgetall hdel hexists hincrby hlen hkeys"
_SORTED = "zadd zrem zscore zrange zrevrange zrangebyscore zrangebylex zremrangebyscore zcard zcount zincrby"
_LISTS = "lpush rpush lrange lindex llen ltrim lpop lset lrem"
_OTHERS = (
    "set get incr incrby del unlink exists pexpire expire persist sadd srem scard sismember smembers "
    "xadd xread publish"
)
_LEDGER = f"{_CONNECTION} {_SCRIPTS} {_HASHES} {_SORTED} {_LISTS} {_OTHERS} subscribe unsubscribe"
#: kombu, which takes messages: it waits for one, keeps it until it is answered, and puts back what was not.
_CONSUMING = (
    "brpop multi exec watch unwatch discard psubscribe punsubscribe set script|exists zrevrangebyscore"
)

_LEDGER_KEYS = (
    "j:* b:* f:* i:* open ready canvases jobs wait:* next:* dead dead:* broken costs "
    "buffers q:* qs:* due turns late wake* ft:* fb:* fv:* formed:* busy:* weights pend "
    "limits set l:* lh:* lw:*"
)
#: Queues, and which queues there are.
_QUEUES = "penstock.* _kombu.binding*"
#: Celery's control and its answers, and its events.
_CONTROL = "*.celery.pidbox* celeryev*"
_UNACKED = "unacked*"
#: Celery's own results, of canvas that mixes our tasks with others': commands, and keys (channels, too).
_RESULTS = "setex mget"
_RESULT_KEYS = "celery-task-meta-* celery-taskset-meta-*"
#: The queue of others' tasks that follow ours (`foreign_queue`); a deployment with other queues adds theirs.
_THEIR_QUEUES = "celery"
#: Channels of the ledger, and of Celery's events and control.
_LEDGER_CHANNELS = "j:* w:* dispatch"
_CELERY_CHANNELS = "/0.celeryev/* /0.celery.pidbox"


@dataclass(frozen=True, kw_only=True)
class Role:
    """What one user may do."""

    commands: str
    #: Patterns of keys without the prefix: to read and write, and to read only.
    keys: str = ""
    reads: str = ""
    channels: str = ""
    #: Patterns of keys as they are, without the prefix: what is there for others' apps, to read and write.
    others: str = ""
    #: Such channels.
    others_channels: str = ""

    def rule(self, name: str, password: str) -> str:
        """The user's line in the ACL file, which holds the password's digest only."""
        digest = hashlib.sha256(password.encode()).hexdigest()
        return " ".join(
            [
                f"user {name} on #{digest} resetkeys resetchannels",
                *(f"~{PREFIX}{pattern}" for pattern in self.keys.split()),
                *(f"%R~{PREFIX}{pattern}" for pattern in self.reads.split()),
                *(f"~{pattern}" for pattern in self.others.split()),
                *(f"&{PREFIX}{pattern}" for pattern in self.channels.split()),
                *(f"&{pattern}" for pattern in self.others_channels.split()),
                "-@all",
                *(f"+{command}" for command in self.commands.split()),
            ]
        )


ROLES: Mapping[str, Role] = {
    # Submits, follows and cancels. Sends doorbells, and takes none.
    "producer": Role(
        commands=f"{_LEDGER} {_RESULTS} multi exec",
        # A script that reads the catalog's version has it among its keys.
        keys=f"{_LEDGER_KEYS} {_QUEUES} catalog:version",
        reads="catalog:*",
        channels=_LEDGER_CHANNELS,
        others=_RESULT_KEYS,
        others_channels=_RESULT_KEYS,
    ),
    # Takes doorbells and runs calls; leaves native code for other workers, and says what its host is like.
    "worker": Role(
        commands=f"{_LEDGER} {_CONSUMING} {_RESULTS} renamenx",
        keys=f"{_LEDGER_KEYS} {_QUEUES} {_UNACKED} {_CONTROL} artifacts artifact:* host:*",
        reads="catalog:*",
        channels=f"{_LEDGER_CHANNELS} {_CELERY_CHANNELS}",
        others=f"{_RESULT_KEYS} {_THEIR_QUEUES}",
        others_channels=_RESULT_KEYS,
    ),
    # Rings, forms batches, submits periodically, and collects what was removed.
    "scheduler": Role(
        commands=f"{_LEDGER} ttl multi exec scan zscan",
        keys=f"{_LEDGER_KEYS} {_QUEUES} periodic periodic:* catalog:* artifacts artifact:*",
        channels=_LEDGER_CHANNELS,
    ),
    # Sees Celery's events and asks workers; of the ledger it sees nothing. Like all who take messages with
    # kombu, it puts back those that nobody answered.
    "flower": Role(
        commands=f"{_CONNECTION} {_SCRIPTS} {_CONSUMING} subscribe unsubscribe publish lpush rpush llen get "
        "sadd srem smembers del zadd zrem zrange zrangebyscore hset hget hdel exists",
        keys=f"{_CONTROL} {_QUEUES} {_UNACKED}",
        channels=_CELERY_CHANNELS,
    ),
    # A person at the command line: publishes and removes plugins, sets limits, asks workers, sees it all.
    "operator": Role(
        commands=f"{_LEDGER} {_CONSUMING} {_RESULTS} rename ttl scan zscan config|get acl|log acl|whoami",
        keys="*",
        channels="*",
    ),
    # The health check of the container.
    "health": Role(commands="ping"),
}


def acl_file(passwords: Mapping[str, str]) -> str:
    """The whole file: nobody without a password, and a line for each role.

    Nobody can be the default user, who is off. Yet it must be allowed everything: Redis 7.0 reads its own
    append-only file back as that user, and drops each transaction in it that it were not allowed.
    """
    lines = ["user default off resetpass ~* &* +@all"]
    lines += [role.rule(name, passwords[name]) for name, role in ROLES.items()]
    return "\n".join(lines) + "\n"
