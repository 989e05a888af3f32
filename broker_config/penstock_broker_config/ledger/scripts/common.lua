-- Shared by every script of the ledger (prepended when it is loaded): the clock, the job's end, the ways
-- in which a batch ends without being run. Times are milliseconds of this server's clock.

local FINAL = {succeeded = true, failed = true, cancelled = true, expired = true}

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- The keys of one job, from the prefix (ARGV of each script) and the job's id.
local function job_keys(prefix, id)
  local j = prefix .. 'j:' .. id
  return {id = id, job = j, ok = j .. ':ok', err = j .. ':err', out = j .. ':out', run = j .. ':run', channel = j}
end

-- Keeps what a finished job leaves behind for as long as the operator wants, and tells who waits.
-- keep.ok, keep.err: milliseconds for successes and failures.
local function end_job(jk, state, t, keep)
  redis.call('HSET', jk.job, 'state', state, 'finished', t)
  redis.call('XADD', jk.out, '*', 's', state)
  local longer = math.max(keep.ok, keep.err)
  redis.call('PEXPIRE', jk.job, longer)
  redis.call('PEXPIRE', jk.out, longer)
  redis.call('PEXPIRE', jk.ok, keep.ok)
  redis.call('PEXPIRE', jk.err, keep.err)
  redis.call('DEL', jk.run)
  local idem = redis.call('HGET', jk.job, 'idem')
  if idem and idem ~= '' then redis.call('PEXPIRE', idem, longer) end
end

-- Ends the job when its input has ended and every accepted call has.
local function end_job_if_complete(jk, t, keep)
  local j = redis.call('HMGET', jk.job, 'total', 'done', 'failed', 'expired', 'error')
  if not j[1] or j[1] == '' then return false end
  local failed, expired = tonumber(j[3]), tonumber(j[4])
  if tonumber(j[2]) + failed + expired < tonumber(j[1]) then return false end
  local state = 'succeeded'
  if expired > 0 then state = 'expired' elseif failed > 0 or j[5] ~= '' then state = 'failed' end
  end_job(jk, state, t, keep)
  return true
end

local function forget_batch(prefix, open, id, jk)
  redis.call('DEL', prefix .. 'b:' .. id)
  redis.call('ZREM', open, id)
  redis.call('HDEL', jk.run, id)
end

-- The deadline passed before the rest of this batch could run: it ends without results.
local function expire_batch(prefix, open, id, jk, first, count, t, keep)
  forget_batch(prefix, open, id, jk)
  redis.call('XADD', jk.out, '*', 'i', first .. '-' .. (first + count - 1), 'c', 'expired')
  redis.call('HINCRBY', jk.job, 'expired', count)
  end_job_if_complete(jk, t, keep)
  redis.call('PUBLISH', jk.channel, 'expired')
end

-- Calls of one batch at most; more than Lua's stack could pass on to one command.
local MAX_CALLS = 2048

-- A batch's record with its numbers read. Records are in a Redis that others may write to: nil, and why, when
-- there is none or its numbers cannot be believed.
local function read_batch(bkey)
  local b = redis.pcall('HMGET', bkey, 'n', 'base', 'd', 'l', 'w', 'x', 'a', 'careful', 'once', 'created', 'queue',
    'tool', 'r', 'f')
  if b.err then return nil, 'damaged' end
  if not b[1] and not b[2] then return nil, 'gone' end
  local batch = {w = b[5], careful = b[8], once = b[9], created = b[10], queue = b[11], tool = b[12], f = b[14]}
  for i, name in pairs({[1] = 'n', [2] = 'base', [3] = 'd', [4] = 'l', [6] = 'x', [7] = 'a', [13] = 'r'}) do
    local number = tonumber(b[i] or '')
    if not number or number ~= number or number < 0 or number % 1 ~= 0 or number > 1e15 then return nil, 'damaged' end
    batch[name] = number
  end
  if batch.n < 1 or batch.n > MAX_CALLS or batch.d >= batch.n or not (batch.w and batch.queue and batch.tool) then
    return nil, 'damaged'
  end
  return batch
end

-- Takes a batch that cannot be believed out of the way of the others, kept for somebody to look at; its job fails.
local function set_aside(prefix, open, id, jk, t, keep)
  redis.call('ZREM', open, id)
  redis.call('ZADD', prefix .. 'broken', t, id)
  pcall(function()
    local state = redis.call('HGET', jk.job, 'state')
    if not state or FINAL[state] then return end
    redis.call('HSET', jk.job, 'error', 'the record of batch ' .. id .. ' was damaged')
    end_job(jk, 'failed', t, keep)
  end)
end

