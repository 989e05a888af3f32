-- LIMIT: the operator changes a limit while calls run, or a tool that met one pauses it for everyone.
--
-- ARGV 1 prefix 2 key 3 what to do: set | clear | pause
--      clear: 4 what it weighs
--      set: 4 concurrency 5 rate 6 burst 7 paused until (ms) ('' = leave, 'inf' = none, '-' = as declared)
--      8 weight ('' = leave) 9 what it weighs (tenant:… or key:…)
--      pause: 4 for how many ms; never shortens a pause
-- Returns 1 when there is such a limit now, else 0
local t = now_ms()
local prefix, key = ARGV[1], ARGV[2]
local lkey = prefix .. 'l:' .. key
if ARGV[3] == 'pause' then
  pause_limit(prefix, key, tonumber(ARGV[4]), t)
elseif ARGV[3] == 'clear' then
  redis.call('HDEL', lkey, 'c', 'r', 'b', 'p')
  redis.call('HDEL', prefix .. 'weights', ARGV[4])
  redis.call('SREM', prefix .. 'set', key)
  keep_limit(prefix, key, t)
else
  for place, name in ipairs({'c', 'r', 'b', 'p'}) do
    local value = ARGV[3 + place]
    if value == '-' then redis.call('HDEL', lkey, name)
    elseif value ~= '' then redis.call('HSET', lkey, name, value) end
  end
  if ARGV[8] ~= '' then redis.call('HSET', prefix .. 'weights', ARGV[9], ARGV[8]) end
  redis.call('SADD', prefix .. 'set', key)
  redis.call('PERSIST', lkey)
  redis.call('ZADD', prefix .. 'limits', t, key)
end
wake_waiters(prefix, key, t, t)
return redis.call('EXISTS', lkey)
