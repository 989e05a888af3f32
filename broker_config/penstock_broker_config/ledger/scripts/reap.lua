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
    if b.soonest then look = math.min(look, b.soonest + 1) end
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

-- Calls of jobs that have ended leave their buffers, wherever they stand: what is cancelled or too late must not take the
-- room of others until a pause ends, or a delay. So many calls and bytes in one look; the next one goes on from there.
local SWEEP_CALLS, SWEEP_BYTES = 2000, 4194304

-- Looks at a buffer's calls from a place on; how many it looked at, and how many of those are gone.
local function sweep_buffer(buffer, s, from, most)
  local list = prefix .. 'q:' .. buffer
  local gone, size, ended = 0, 0, {}
  local flushed, unflushed = tonumber(s.flush or '') or 0, 0
  local items = redis.call('LRANGE', list, from, from + most - 1)
  for k, item in ipairs(items) do
    local id, bytes = string.match(item, '^(%S+) %d+ (%d+) ')
    if id and ended[id] == nil then
      local j = redis.call('HMGET', prefix .. 'j:' .. id, 'state', 'waiting')
      ended[id] = not j[1] or FINAL[j[1]] or (tonumber(j[2] or '') or 0) <= 0
    end
    if id and ended[id] then
      redis.call('LSET', list, from + k - 1, '')
      gone, size = gone + 1, size + tonumber(bytes)
      if from + k <= flushed then unflushed = unflushed + 1 end
    end
  end
  if gone > 0 then
    redis.call('LREM', list, 0, '')
    s.n, s.sz, s.flush = s.n - gone, s.sz - size, flushed - unflushed
    redis.call('HSET', prefix .. 'qs:' .. buffer, 'n', s.n, 'sz', s.sz, 'flush', s.flush)
    pend(prefix, -gone, -size)
    if s.n <= 0 and s.st == 'b' then stop_waiting(prefix, buffer, s.on) end
    if s.n <= 0 or (s.into or '') == '' then settle_buffer(prefix, buffer, s, t) end
  end
  return {#items, gone}
end

local function sweep()
  local p = redis.call('HMGET', prefix .. 'pend', 'dead', 'swept', 'from')
  local last, calls, bytes = p[2], SWEEP_CALLS, SWEEP_BYTES
  -- Where it goes on in that buffer; nil: with the next one.
  local from = tonumber(p[3] or '')
  if not last then
    if p[1] ~= '1' then return end
    redis.call('HDEL', prefix .. 'pend', 'dead')
    last = ''
  end
  while calls > 0 and bytes > 0 do
    local buffer = redis.call('ZRANGEBYLEX', prefix .. 'buffers', (from and '[' or '(') .. last, '+', 'LIMIT', 0, 1)[1]
    if not buffer then return redis.call('HDEL', prefix .. 'pend', 'swept', 'from') end
    local s = read_buffer(prefix, buffer)
    local n, at = s and tonumber(s.n) or 0, buffer == last and from or 0
    last, from, calls = buffer, nil, calls - 1
    if n > 0 then
      local mean = tonumber(s.sz) / n + 1
      local most = math.max(1, math.min(calls, math.floor(bytes / mean)))
      local good, looked = guarded(sweep_buffer, buffer, s, at, most)
      if good and looked[1] == most then from = at + most - looked[2] end
      calls, bytes = calls - (good and looked[1] or 0), bytes - (good and looked[1] * mean or 0)
    end
  end
  redis.call('HSET', prefix .. 'pend', 'swept', last, 'from', from or '')
end
sweep()

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
