-- CLAIM: takes the lease of a batch, if it may be run now. The fence that it returns is what every later
-- commit must show. Whoever held the lease before and did not come back is charged here.
--
-- KEYS 1 open  sorted set, batch → next look
--      2 dead  sorted set, call → set aside at
-- j:{job}…: jobs.lua; b:{batch}: batches.lua; limits: limits.lua
-- dead:{call}   hash: call job index tool digest header params mac attempts at holder
-- ARGV 1 prefix 2 batch 3 holder 4 lease ms 5 max attempts 6 holder known to be dead ('' = none)
--      7 keep ok ms 8 keep err ms 9 record of an interrupted call 10 record of a quarantined call
-- Returns {'gone'} | {'held', holder} | {'parked'} (a limit is reached; a dispatcher rings when it may run) |
--         {'granted', fence, header, calls, n, recorded, attempts, careful, now, created, deadline,
--          formed, limited, positions to pass over}
local t = now_ms()
local prefix, id, holder = ARGV[1], ARGV[2], ARGV[3]
local bkey = prefix .. 'b:' .. id
local keep = {ok = tonumber(ARGV[7]), err = tonumber(ARGV[8])}

local b, why = read_batch(prefix, id)
if why == 'gone' then
  -- What a message names may be a flow, whose entry is not ours to remove.
  if string.sub(id, 1, 1) ~= '>' then redis.call('ZREM', KEYS[1], id) end
  return {'gone'}
elseif not b then
  set_aside(prefix, KEYS[1], id, t, keep)
  return {'gone'}
end
if b.l > t and b.w ~= holder and b.w ~= ARGV[6] and b.w ~= '' then
  -- Of a job that has ended nothing is left to be held, but for slots: what runs under a limit may be out of
  -- reach, and runs on until its lease ends.
  if b.owners or #b.keys > 0 or not FINAL[redis.call('HGET', b.jk.job, 'state') or 'cancelled'] then return {'held', b.w} end
end
if close_calls(prefix, KEYS[1], b, t, keep) then return {'gone'} end
redis.call('ZREM', waiting_key(prefix, b.queue), id)

-- The loss of a holder is charged: to the batch, or to the call that had been started.
local before = b.w
if before ~= '' and before ~= holder then
  if b.closed[b.d] then
    b.a = 0
  else
    -- In a careful batch we know which call had been started: the next unrecorded one.
    if b.careful == '1' then b.a = b.a + 1 else b.x = b.x + 1; b.careful = '1' end
    local ends = nil
    if b.once == '1' then ends = ARGV[9] elseif b.x + b.a >= tonumber(ARGV[5]) then ends = ARGV[10] end
    if ends then
      local jk, index = owner(b, b.d)
      redis.call('HSET', jk.err, index, ends)
      redis.call('XADD', jk.out, '*', 'i', index .. '-' .. index)
      redis.call('HINCRBY', jk.job, 'failed', 1)
      if b.once ~= '1' then
        local more = redis.call('HMGET', bkey, 'c', 'h')
        local call, header = jk.id .. '.' .. index, more[2]
        local entry = cjson.decode(more[1])[b.d + 1]
        if b.owners then header = header_line(header, entry[1]) end
        redis.call('ZADD', KEYS[2], t, call)
        redis.call('HSET', prefix .. 'dead:' .. call, 'call', call, 'job', jk.id, 'index', index, 'tool', b.tool,
          'header', header, 'params', entry[#entry - 1], 'mac', entry[#entry], 'attempts', b.x + b.a, 'at', t,
          'holder', before)
        redis.call('PEXPIRE', prefix .. 'dead:' .. call, keep.err)
      end
      b.d = b.d + 1
      b.a = 0
      redis.call('PUBLISH', jk.channel, 'recorded')
      if b.d == b.n then
        forget_batch(prefix, KEYS[1], b, t)
        end_job_if_complete(jk, t, keep)
        return {'gone'}
      end
      if b.owners then end_job_if_complete(jk, t, keep) end
    end
  end
end
while b.d < b.n - 1 and b.closed[b.d] do b.d = b.d + 1 end
redis.call('HSET', bkey, 'd', b.d, 'x', b.x, 'a', b.a, 'careful', b.careful, 'w', '')

-- Limits that the operator has set since count as well; and what was lowered, or pauses, since a slot was kept for a
-- batch that nobody has begun.
local lease = t + tonumber(ARGV[4])
local known = #b.keys
b.keys = add_standing_keys(prefix, b.keys, b.tool, b.tenant)
if #b.keys > known then
  b.un = b.un + #b.keys - known
  redis.call('HSET', bkey, 'lk', pack_keys(b.keys), 'un', b.un)
end
if #b.keys > 0 then declare_again(prefix, b.keys, b.figures, t) end
if #b.keys > 0 and (before == '' or not holds_slots(prefix, b.keys, id, t)) then
  local allowed, forbids, again = admitted(prefix, b.keys, 1, t, id, b.un)
  if allowed == 0 then
    -- Whoever had it, and comes back late, has it no more: somebody else may be given it before.
    redis.call('HINCRBY', bkey, 'f', 1)
    redis.call('HSET', bkey, 'l', 0)
    -- The reaper looks when its first deadline passes, and now and then whether its jobs have been cancelled.
    local look = math.min(math.max(again, t + 60000), t + 600000, b.soonest and b.soonest + 1 or math.huge)
    redis.call('ZADD', KEYS[1], look, id)
    redis.call('ZREM', prefix .. 'formed:' .. b.queue, id)
    free_slots(prefix, b.keys, id, t)
    wait_for(prefix, '=' .. id, forbids, again, t)
    if again <= t then wake_dispatchers(prefix) end
    return {'parked'}
  end
end
if #b.keys > 0 then
  take_slots(prefix, b.keys, id, b.un > 0 and b.n - b.d or 0, t, lease, b.un)
  if b.un > 0 then redis.call('HDEL', bkey, 'un') end
  for _, key in ipairs(b.keys) do wake_waiters(prefix, key, lease, t) end
end

local fence = redis.call('HINCRBY', bkey, 'f', 1)
redis.call('HSET', bkey, 'l', lease, 'w', holder)
redis.call('ZADD', KEYS[1], lease, id)
if b.owners or #b.keys > 0 then redis.call('ZREM', prefix .. 'formed:' .. b.queue, id) end
local closed = {}
if b.owners then
  for _, jk in ipairs(owners_of(b)) do
    redis.call('HSET', jk.run, id, holder)
    if redis.call('HGET', jk.job, 'state') == 'queued' then
      redis.call('HSET', jk.job, 'state', 'running', 'started', t)
    end
  end
  redis.call('ZADD', prefix .. 'busy:' .. b.queue, lease, id)
  if redis.call('SISMEMBER', prefix .. 'turns', b.queue) == 1 then wake_dispatchers(prefix) end
  for position in pairs(b.closed) do closed[#closed + 1] = position end
else
  redis.call('HSET', b.jk.run, id, holder)
  if b.state == 'queued' then redis.call('HSET', b.jk.job, 'state', 'running', 'started', t) end
end
local load = redis.call('HMGET', bkey, 'h', 'c')
return {'granted', fence, load[1], load[2], b.n, b.d, b.x + b.a, b.careful, t, b.created, b.deadline,
  b.owners and 1 or 0, #b.keys > 0 and 1 or 0, closed}
