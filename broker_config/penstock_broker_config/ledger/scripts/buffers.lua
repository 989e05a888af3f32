-- Buffers: calls that wait to leave together. All calls of a buffer have the same tool, digest, tenant, queue,
-- policy, batch key and limits, whoever sent them.
--
-- q:{buffer}    list of calls, oldest first: `job index bytes accepted attempts header params-and-mac`
-- qs:{buffer}   hash: tool digest tenant queue once policy key limits (keys, one a line), figures (of those, as
--               declared), size bytes wait (when it leaves), n count, sz bytes now, st '' waits for its time |
--               a waits for its turn | b waits for a limit (on: which one), tag its turn, flush (so many of its calls
--               were told to leave), into (a delayed buffer: where its calls go then)
-- buffers       sorted set of all buffers, for looking them up by the beginning of their names
-- due           sorted set, buffer → when it leaves
-- turns         set of queues in which buffers wait for their turn
-- ft:{queue}    sorted set, tenant → its turn;  fb:{queue}:{tenant} sorted set, buffer → its turn
-- fv:{queue}    hash: '' the turn that was served last; t:{tenant} turn of a tenant that has nothing now;
--               b:{tenant} the tenant's last served buffer's turn
-- weights       hash, tenant:NAME or key:NAME → share
-- formed:{queue}, busy:{queue}  sorted sets: batches that wait for a worker → since; that have one → lease
-- pend          hash: calls, bytes that are accepted and not at their end; dead 1 when calls of ended jobs are in
--               buffers, swept, from how far the reaper is in taking them out
-- late          sorted set, job with waiting calls → its deadline

local function weight(prefix, name)
  local w = tonumber(redis.call('HGET', prefix .. 'weights', name) or '')
  return w and w > 0 and w or 1
end

-- Keeps a job's header for its waiting calls; returns the name under which it is found.
local function keep_header(jk, header)
  local name = string.sub(redis.sha1hex(header), 1, 12)
  redis.call('HSETNX', jk.headers, name, header)
  return name
end

-- The buffer's calls may leave now: it gets in line, behind what was served already.
local function line_up(prefix, buffer, queue, tenant)
  local qs, fv = prefix .. 'qs:' .. buffer, prefix .. 'fv:' .. queue
  local ft, fb = prefix .. 'ft:' .. queue, prefix .. 'fb:' .. queue .. ':' .. tenant
  local v = redis.call('HMGET', fv, '', 't:' .. tenant, 'b:' .. tenant)
  if not redis.call('ZSCORE', ft, tenant) then
    redis.call('ZADD', ft, math.max(tonumber(v[1] or '') or 0, tonumber(v[2] or '') or 0), tenant)
    redis.call('HDEL', fv, 't:' .. tenant)
    redis.call('PERSIST', fv)
  end
  local tag = math.max(tonumber(redis.call('HGET', qs, 'tag') or '') or 0, tonumber(v[3] or '') or 0)
  redis.call('ZADD', fb, tag, buffer)
  redis.call('HSET', qs, 'st', 'a', 'tag', tag)
  redis.call('SADD', prefix .. 'turns', queue)
end

local function step_out(prefix, buffer, queue, tenant)
  local ft, fb = prefix .. 'ft:' .. queue, prefix .. 'fb:' .. queue .. ':' .. tenant
  redis.call('ZREM', fb, buffer)
  if redis.call('EXISTS', fb) == 1 then return end
  local turn = redis.call('ZSCORE', ft, tenant)
  redis.call('ZREM', ft, tenant)
  -- Who leaves and comes back does not get what it missed, nor does it lose what it owes.
  local fv = prefix .. 'fv:' .. queue
  if turn then redis.call('HSET', fv, 't:' .. tenant, turn) end
  if redis.call('EXISTS', ft) == 0 then
    redis.call('SREM', prefix .. 'turns', queue)
    redis.call('PEXPIRE', fv, 600000)
  end
end

-- Whose turn it is: tenant, buffer; nil when nobody is in line.
local function next_turn(prefix, queue)
  local tenant = redis.call('ZRANGE', prefix .. 'ft:' .. queue, 0, 0)[1]
  if not tenant then return nil end
  return tenant, redis.call('ZRANGE', prefix .. 'fb:' .. queue .. ':' .. tenant, 0, 0)[1]
end

-- The buffer had its turn, which cost so much: the others come first now, by their weights.
local function charge_turn(prefix, buffer, queue, tenant, key, cost)
  local ft, fb = prefix .. 'ft:' .. queue, prefix .. 'fb:' .. queue .. ':' .. tenant
  local turn, tag = redis.call('ZSCORE', ft, tenant), redis.call('ZSCORE', fb, buffer)
  redis.call('HSET', prefix .. 'fv:' .. queue, '', turn, 'b:' .. tenant, tag)
  redis.call('ZINCRBY', ft, cost / weight(prefix, 'tenant:' .. tenant), tenant)
  redis.call('HSET', prefix .. 'qs:' .. buffer, 'tag',
    redis.call('ZINCRBY', fb, cost / weight(prefix, 'key:' .. key), buffer))
end

local function set_due(prefix, buffer, at, t)
  redis.call('ZADD', prefix .. 'due', 'LT', at, buffer)
end

local function drop_buffer(prefix, buffer, queue, tenant)
  step_out(prefix, buffer, queue, tenant)
  redis.call('DEL', prefix .. 'q:' .. buffer, prefix .. 'qs:' .. buffer)
  redis.call('ZREM', prefix .. 'due', buffer)
  redis.call('ZREM', prefix .. 'buffers', buffer)
end

local function read_buffer(prefix, buffer)
  local flat = redis.call('HGETALL', prefix .. 'qs:' .. buffer)
  if #flat == 0 then return nil end
  local s = {}
  for i = 1, #flat, 2 do s[flat[i]] = flat[i + 1] end
  return s
end

-- When a buffer that stays behind leaves next; in line already when it is full.
local function settle_buffer(prefix, buffer, s, t)
  local n = tonumber(s.n)
  if n <= 0 then return drop_buffer(prefix, buffer, s.queue, s.tenant) end
  if (tonumber(s.flush or '') or 0) > 0 or n >= tonumber(s.size) or tonumber(s.sz) >= tonumber(s.bytes) then return end
  local head = redis.call('LINDEX', prefix .. 'q:' .. buffer, 0)
  local accepted = tonumber(string.match(head, '^%S+ %d+ %d+ (%d+)')) or t
  local leaves = accepted + tonumber(s.wait)
  if leaves <= t then return end
  step_out(prefix, buffer, s.queue, s.tenant)
  if s.st == 'b' then stop_waiting(prefix, buffer, s.on) end
  redis.call('HSET', prefix .. 'qs:' .. buffer, 'st', '')
  redis.call('ZADD', prefix .. 'due', leaves, buffer)
end

-- Puts one call into a buffer that exists; true when the dispatchers have a reason to look.
local function append(prefix, buffer, item, size, at, t)
  local qs = prefix .. 'qs:' .. buffer
  redis.call('RPUSH', prefix .. 'q:' .. buffer, item)
  local n = redis.call('HINCRBY', qs, 'n', 1)
  local sz = redis.call('HINCRBY', qs, 'sz', size)
  local s = redis.call('HMGET', qs, 'st', 'size', 'bytes', 'wait', 'into')
  if s[1] ~= '' then return false end
  if s[5] and s[5] ~= '' then
    if n == 1 then set_due(prefix, buffer, at, t) end
    return n == 1
  end
  if n >= tonumber(s[2]) or sz >= tonumber(s[3]) then
    set_due(prefix, buffer, t, t)
    return n == tonumber(s[2]) or sz - size < tonumber(s[3])
  end
  if n == 1 then set_due(prefix, buffer, t + tonumber(s[4]), t) end
  return n == 1
end

-- Creates a buffer unless it is there. `spec` is a flat list of fields.
local function open_buffer(prefix, buffer, spec)
  local qs = prefix .. 'qs:' .. buffer
  if redis.call('EXISTS', qs) == 1 then return end
  redis.call('HSET', qs, 'n', 0, 'sz', 0, 'st', '', unpack(spec))
  redis.call('ZADD', prefix .. 'buffers', 0, buffer)
end

local function pend(prefix, calls, bytes)
  -- Less nothing is written "-0", which Redis takes for no integer: hence the sums.
  redis.call('HINCRBY', prefix .. 'pend', 'calls', calls + 0)
  redis.call('HINCRBY', prefix .. 'pend', 'bytes', bytes + 0)
end

-- Whether so much more may wait: nil, or what is full and after how many ms to try again.
local function overloaded(prefix, calls, bytes, most_calls, most_bytes)
  local p = redis.call('HMGET', prefix .. 'pend', 'calls', 'bytes')
  local waiting, size = tonumber(p[1] or 0), tonumber(p[2] or 0)
  -- What is larger than the bound by itself may pass when nothing waits.
  if waiting > 0 and (waiting + calls > most_calls or size + bytes > most_bytes) then
    return 'calls that wait in all', 1000
  end
end

-- The deadline of a job has passed: its calls that wait in buffers end without results.
local function expire_waiting(prefix, jk, t, keep)
  local j = redis.call('HMGET', jk.job, 'state', 'waiting')
  redis.call('ZREM', prefix .. 'late', jk.id)
  local waiting = tonumber(j[2] or '') or 0
  if not j[1] or FINAL[j[1]] or waiting <= 0 then return end
  redis.call('HSET', jk.job, 'waiting', 0)
  redis.call('HSET', prefix .. 'pend', 'dead', 1)
  redis.call('HINCRBY', jk.job, 'expired', waiting)
  end_job_if_complete(jk, t, keep)
  redis.call('PUBLISH', jk.channel, 'expired')
end
