"""A ledger whose scripts read the test's clock, so that an hour passes in no time.

Each script is the one that ships. Before it stands a table in the place of `redis`, which answers TIME from a
key and keeps expiries (PEXPIRE, SET with PX) by that clock, too; everything else goes to Redis as it is.
"""

from __future__ import annotations

from typing import Any, TypeVar

import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import Bounds, Ledger, Retention
from penstock_broker_config.ledger.requests import Request
from penstock_broker_config.ledger.scripts import load_script

T = TypeVar("T")

#: Where the clock stands (µs), and when which key expires (ms).
CLOCK = "virtual:clock"
EXPIRIES = "virtual:expiries"
#: Any moment: of the test's own, so that a run can be repeated.
BEGINNING_MS = 1_700_000_000_000

_IN_PLACE_OF_REDIS = """
local redis = (function(real)
  local clock_us = tonumber(real.call('GET', 'virtual:clock'))
  local now = math.floor(clock_us / 1000)
  local expiries = 'virtual:expiries'
  local flat = real.call('HGETALL', expiries)
  for i = 1, #flat, 2 do
    if tonumber(flat[i + 1]) <= now then
      real.call('DEL', flat[i])
      real.call('HDEL', expiries, flat[i])
    end
  end
  local function expire(key, ms)
    if real.call('EXISTS', key) == 0 then return 0 end
    real.call('HSET', expiries, key, now + tonumber(ms))
    return 1
  end
  local function virtual(call)
    return function(command, key, ...)
      if command == 'TIME' then
        return {string.format('%d', math.floor(clock_us / 1000000)), string.format('%d', clock_us % 1000000)}
      end
      if command == 'PEXPIRE' then return expire(key, ...) end
      if command == 'PERSIST' then return real.call('HDEL', expiries, key) end
      if command == 'DEL' then real.call('HDEL', expiries, key, ...) end
      if command == 'SET' then
        local value, px, ms = ...
        real.call('HDEL', expiries, key)
        if px == 'PX' then
          local answer = call('SET', key, value)
          expire(key, ms)
          return answer
        end
      end
      return call(command, key, ...)
    end
  end
  return setmetatable({call = virtual(real.call), pcall = virtual(real.pcall)}, {__index = real})
end)(redis)
"""


class VirtualLedger(Ledger):
    """The ledger by a clock that stands still until somebody says otherwise."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys | None = None,
        bounds: Bounds | None = None,
        retention: Retention | None = None,
    ) -> None:
        """
        Args:
            client: of a Redis that is the test's own.
            keys: of the system.
            bounds: how much may wait.
            retention: how long what has ended is kept. None: longer than any test lets pass.
        """
        long = Retention(result_ttl_s=1e8, failure_ttl_s=1e8)
        super().__init__(client, keys or Keys(), retention or long, bounds)
        self._now_us = BEGINNING_MS * 1000

    @property
    def now_ms(self) -> int:
        """What the next script takes for the time."""
        return (self._now_us + 1) // 1000

    def clock_ms(self) -> int:
        """The same, for what is read without a script."""
        return self.now_ms

    def let_pass(self, ms: int) -> None:
        """Let time pass."""
        self._now_us += ms * 1000

    def _run(self, request: Request[T]) -> T:
        script: Any = self._scripts.get(request.script)
        if script is None:
            source = _IN_PLACE_OF_REDIS + load_script(request.script)
            script = self._scripts[request.script] = self._redis.register_script(source)
        # Two scripts never run within one microsecond.
        self._now_us += 1
        self._redis.set(CLOCK, self._now_us)
        return request.read(script(keys=request.keys, args=request.args))
