-- LEAVE: gives the lease of a flow back before its stage is done. Nobody is charged. It comes up again when its inner
-- job has ended (flows.lua), or at once when it waits for nothing (a worker that stops).
--
-- KEYS 1 open  sorted set, batch or >flow → next look
-- f:{flow}: flows.lua
-- ARGV 1 prefix 2 flow 3 stage 4 fence 5 1 = only to wait for its inner job
-- Returns 'left' | 'ready' (its inner job has ended: the lease is kept) | 'lost'
local t, F = now_ms(), flows()
local fl = F.read_flow(ARGV[1], ARGV[2])
if not fl or fl.at ~= ARGV[3] or fl.f ~= ARGV[4] or fl.w == '' then return 'lost' end
local waits = F.inner_runs(ARGV[1], fl)
if ARGV[5] == '1' and not waits then return 'ready' end
redis.call('HSET', fl.key, 'l', 0, 'w', '')
redis.call('HINCRBY', fl.key, 'f', 1)  -- whoever gave it back cannot advance it any more
redis.call('HDEL', fl.jk.run, fl.name)
if waits then
  local deadline = redis.call('HGET', fl.jk.job, 'deadline')
  local look = t + F.LONG_LOOK_MS
  if deadline and deadline ~= '' then look = math.min(look, tonumber(deadline) + 1) end
  redis.call('ZADD', KEYS[1], look, fl.name)
else
  F.due_flow(ARGV[1], fl.id, t)
end
return 'left'
