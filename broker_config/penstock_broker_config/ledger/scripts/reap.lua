-- REAP: looks at the batches whose time to be looked at has come, and says which doorbells to ring again.
-- Rings back off per batch, and are left out while a batch's queue is deep (its doorbell is likely in it),
-- but never for longer than an age: a lost doorbell is found in any case.
--
-- KEYS 1 open  sorted set, batch → next look
--      2 jobs  sorted set, job → created
--      3 dead  sorted set, call → set aside at
-- ARGV 1 prefix 2 how many at most 3 first back-off ms 4 longest back-off ms 5 age ms
--      6 keep ok ms 7 keep err ms 8… names of deep queues
-- Returns a flat list: batch, queue, tool, calls, batch, …
local t = now_ms()
local prefix = ARGV[1]
local keep = {ok = tonumber(ARGV[6]), err = tonumber(ARGV[7])}
local deep = {}
for k = 8, #ARGV do deep[ARGV[k]] = true end

local rings = {}

local function look_at(id, jk)
  local bkey = prefix .. 'b:' .. id
  local b, why = read_batch(bkey)
  if why == 'damaged' then return set_aside(prefix, KEYS[1], id, jk, t, keep) end
  local j = redis.call('HMGET', jk.job, 'state', 'deadline')
  if not b or not j[1] or FINAL[j[1]] then
    forget_batch(prefix, KEYS[1], id, jk)
  elseif b.l > t then
    redis.call('ZADD', KEYS[1], b.l, id)
  elseif j[2] ~= '' and t > tonumber(j[2]) then
    expire_batch(prefix, KEYS[1], id, jk, b.base + b.d, b.n - b.d, t, keep)
  else
    local k = redis.call('HINCRBY', bkey, 'k', 1)
    local look = t + math.min(tonumber(ARGV[4]), tonumber(ARGV[3]) * 2 ^ math.min(k - 1, 10))
    if j[2] ~= '' then look = math.min(look, tonumber(j[2]) + 1) end
    redis.call('ZADD', KEYS[1], look, id)
    if not deep[b.queue] or t - b.r >= tonumber(ARGV[5]) then
      redis.call('HSET', bkey, 'r', t)
      for _, value in ipairs({id, b.queue, b.tool, b.n - b.d}) do rings[#rings + 1] = value end
    end
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', t, 'LIMIT', 0, tonumber(ARGV[2]))) do
  local jk = job_keys(prefix, string.match(id, '^(.*)%.%d+$') or id)
  -- One record that nobody can read must not keep the others from being looked at.
  if not pcall(look_at, id, jk) then set_aside(prefix, KEYS[1], id, jk, t, keep) end
end

local old = t - math.max(keep.ok, keep.err)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', old, 'LIMIT', 0, 100)) do
  local jk = job_keys(prefix, id)
  local j = redis.pcall('HMGET', jk.job, 'state', 'accepted', 'done', 'failed', 'expired')
  if j.err or not j[1] or FINAL[j[1]] or not (tonumber(j[2]) and tonumber(j[3]) and tonumber(j[4]) and tonumber(j[5])) then
    redis.call('ZREM', KEYS[2], id)
  elseif tonumber(j[3]) + tonumber(j[4]) + tonumber(j[5]) >= tonumber(j[2]) then
    -- Fed by nobody for as long as a failure is kept: its producer is gone, and nobody went on with it.
    redis.call('HSET', jk.job, 'total', j[2], 'error', 'its input never ended, and nobody resumed it')
    end_job(jk, 'failed', t, keep)
    redis.call('ZREM', KEYS[2], id)
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', t - keep.err)
redis.call('ZREMRANGEBYSCORE', prefix .. 'broken', '-inf', t - keep.err)
return rings
