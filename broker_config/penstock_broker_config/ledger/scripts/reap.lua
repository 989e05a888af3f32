-- REAP: looks at the batches whose time to be looked at has come, and says which doorbells to ring again.
-- Rings back off per batch, and are left out while a batch's queue is deep (its doorbell is likely in it),
-- but never for longer than an age: a lost doorbell is found in any case.
--
-- KEYS 1 open  sorted set, batch → next look
--      2 jobs  sorted set, job → created
--      3 dead  sorted set, call → set aside at
-- ARGV 1 prefix 2 how many at most 3 first back-off ms 4 longest back-off ms 5 age ms
--      6 keep ok ms 7 keep err ms 8… names of deep queues
-- Flows (flows.lua) are among them, as >FLOW.
-- Returns a flat list: batch, queue, tool, calls, '', … or >flow, queue, label, items, stage
local t, F = now_ms(), flows()
local prefix = ARGV[1]
local keep = {ok = tonumber(ARGV[6]), err = tonumber(ARGV[7])}
local deep = {}
for k = 8, #ARGV do deep[ARGV[k]] = true end

local rings = {}

-- First of all: a script that has removed something may write on when Redis is full.
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', t - keep.err)
redis.call('ZREMRANGEBYSCORE', prefix .. 'broken', '-inf', t - keep.err)

local function look_at(id)
  if string.sub(id, 1, 1) == '>' then
    local fl = F.look_at_flow(prefix, string.sub(id, 2), t, keep, tonumber(ARGV[3]), tonumber(ARGV[4]))
    if fl and (not deep[fl.q] or t - fl.r >= tonumber(ARGV[5])) then F.ring_flow(prefix, fl, rings, t) end
    return
  end
  local b, why = read_batch(prefix, id)
  if why == 'damaged' then return set_aside(prefix, KEYS[1], id, t, keep) end
  if not b then
    redis.call('ZREM', KEYS[1], id)
  elseif b.l > t and (b.owners or #b.keys > 0 or not FINAL[redis.call('HGET', b.jk.job, 'state') or 'cancelled']) then
    redis.call('ZADD', KEYS[1], b.l, id)
  elseif not close_calls(prefix, KEYS[1], b, t, keep) then
    local k = redis.call('HINCRBY', prefix .. 'b:' .. id, 'k', 1)
    local look = t + math.min(tonumber(ARGV[4]), tonumber(ARGV[3]) * 2 ^ math.min(k - 1, 10))
    if b.deadline ~= '' then look = math.min(look, tonumber(b.deadline) + 1) end
    redis.call('ZADD', KEYS[1], look, id)
    if not deep[b.queue] or t - b.r >= tonumber(ARGV[5]) then
      redis.call('HSET', prefix .. 'b:' .. id, 'r', t)
      for _, value in ipairs({id, b.queue, b.tool, b.n - b.d, ''}) do rings[#rings + 1] = value end
    end
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', t, 'LIMIT', 0, tonumber(ARGV[2]))) do
  -- One record that nobody can read must not keep the others from being looked at.
  if not guarded(look_at, id) then
    if string.sub(id, 1, 1) == '>' then
      F.set_flow_aside(prefix, string.sub(id, 2), t, keep)
    else
      set_aside(prefix, KEYS[1], id, t, keep)
    end
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'late', '-inf', t, 'LIMIT', 0, 1000)) do
  if not guarded(expire_waiting, prefix, job_keys(prefix, id), t, keep) then redis.call('ZREM', prefix .. 'late', id) end
end
for _, key in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'limits', '-inf', t - IDLE_LIMIT_MS, 'LIMIT', 0, 1000)) do
  if redis.call('SISMEMBER', prefix .. 'set', key) == 0 then redis.call('ZREM', prefix .. 'limits', key) end
end

-- A job is in the list as long as its record is there. Of many old ones that go on (delayed, say) others are looked at
-- each time, so that they do not keep the list from being trimmed.
local LOOKS = 100
local old = t - math.max(keep.ok, keep.err)
local count = redis.call('ZCOUNT', KEYS[2], '-inf', old)
local first = count > LOOKS and math.max(0, redis.call('TIME')[2] % (count + LOOKS) - LOOKS) or 0
for _, id in ipairs(count > 0 and redis.call('ZRANGE', KEYS[2], first, math.min(first + LOOKS, count) - 1) or {}) do
  local jk = job_keys(prefix, id)
  local j = redis.pcall('HMGET', jk.job, 'state', 'accepted', 'done', 'failed', 'expired', 'fed')
  -- What a job left is kept from its end on, and somebody may feed it still.
  local goes_on = not j.err and j[1] and (FINAL[j[1]] or (tonumber(j[6] or '') or 0) > old)
  if j.err or not j[1] or not (tonumber(j[2]) and tonumber(j[3]) and tonumber(j[4]) and tonumber(j[5])) then
    redis.call('ZREM', KEYS[2], id)
  elseif not goes_on and tonumber(j[3]) + tonumber(j[4]) + tonumber(j[5]) >= tonumber(j[2]) then
    -- Fed by nobody for as long as a failure is kept: its producer is gone, and nobody went on with it.
    redis.call('HSET', jk.job, 'total', j[2], 'error', 'its input never ended, and nobody resumed it')
    end_job(jk, 'failed', t, keep)
    redis.call('ZREM', KEYS[2], id)
  end
end
return rings
