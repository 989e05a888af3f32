-- Shared by every script (prepended when it is loaded): the clock, jobs, and how they accept calls and end.
-- Times are milliseconds of this server's clock.
--
-- j:{job}       hash: tool tenant digest queue state single accepted done failed expired total created
--               started finished deadline status error idem; fed when it was fed last; waiting calls in buffers; of
--               a run pipeline (1) and digests; of an inner job parent (its flow)
-- j:{job}:ok :err  hashes, index → result record;  j:{job}:out  stream of what ended, in that order
-- j:{job}:run   hash, batch → who holds its lease
-- j:{job}:v     hash, digest:number → piece of a large value; those of an inner job are its run's
-- j:{job}:h     hash, digest → header, of calls that wait in buffers

-- Large values of a job that goes on are kept for longer than its calls may run (seven days).
local VALUES_MS = 1209600000

local FINAL = {succeeded = true, failed = true, cancelled = true, expired = true}

-- Calls of one batch at most; more than Lua's stack could pass on to one command.
local MAX_CALLS = 2048

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- The keys of one job, from the prefix (ARGV of each script) and the job's id.
local function job_keys(prefix, id)
  local j = prefix .. 'j:' .. id
  return {id = id, prefix = prefix, job = j, ok = j .. ':ok', err = j .. ':err', out = j .. ':out', run = j .. ':run',
    headers = j .. ':h', values = prefix .. 'j:' .. string.match(id, '^[^/]*') .. ':v', channel = j}
end

-- Tells who holds a job's batches and flows that it has ended. A holder is named PROCESS#CLAIM; each process listens
-- on one channel. Of a batch formed of many jobs' calls only this job's are stopped.
local function tell_holders(prefix, job, holders)
  for i = 1, #holders, 2 do
    local batch = holders[i]
    if string.sub(batch, 1, 1) == '+' then batch = batch .. ' ' .. job end
    local channel = 'w:' .. string.match(holders[i + 1], '^[^#]*')
    redis.call('PUBLISH', prefix .. channel, batch)
  end
end

-- Calls a function of a record, which may be damaged; false when it failed for that. That Redis takes no write now (it
-- is full, or this user may not) says nothing of a record: then the script ends, and nothing is changed.
local function guarded(what, ...)
  local good, answer = pcall(what, ...)
  if good then return true, answer end
  local why = type(answer) == 'table' and answer.err or tostring(answer)
  for _, word in ipairs({'OOM ', 'MISCONF ', 'READONLY ', 'NOREPLICAS ', 'NOPERM ', 'user executing the script'}) do
    if string.find(why, word, 1, true) then error(answer, 0) end
  end
  return false
end

-- What else ends with a run, and with an inner job: flows.lua.
local end_of_run, end_of_inner

-- Keeps what a finished job leaves behind for as long as the operator wants, and tells who waits.
-- keep.ok, keep.err: milliseconds for successes and failures.
local function end_job(jk, state, t, keep)
  redis.call('HSET', jk.job, 'state', state, 'finished', t)
  local own = redis.call('HMGET', jk.job, 'idem', 'parent', 'pipeline', 'waiting')
  if own[4] then
    redis.call('ZREM', jk.prefix .. 'late', jk.id)
    if tonumber(own[4]) > 0 then redis.call('HSET', jk.prefix .. 'pend', 'dead', 1) end
  end
  if own[2] then return end_of_inner(jk, own[2], t) end
  redis.call('XADD', jk.out, '*', 's', state)
  local longer = math.max(keep.ok, keep.err)
  redis.call('PEXPIRE', jk.job, longer)
  redis.call('PEXPIRE', jk.out, longer)
  redis.call('PEXPIRE', jk.ok, keep.ok)
  redis.call('PEXPIRE', jk.err, keep.err)
  redis.call('PEXPIRE', jk.values, longer)
  redis.call('DEL', jk.run, jk.headers)
  -- As long as the result: a key that outlives it would stand for nothing that anybody can read.
  local kept = state == 'succeeded' and keep.ok or state == 'failed' and keep.err or longer
  if own[1] and own[1] ~= '' then redis.call('PEXPIRE', own[1], kept) end
  if own[3] then end_of_run(jk, t, keep) end
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

-- Some calls of a job ended without having run, since its deadline has passed.
local function expire_calls(jk, first, count, t, keep)
  redis.call('XADD', jk.out, '*', 'i', first .. '-' .. (first + count - 1), 'c', 'expired')
  redis.call('HINCRBY', jk.job, 'expired', count)
  end_job_if_complete(jk, t, keep)
  redis.call('PUBLISH', jk.channel, 'expired')
end

-- Whether a job accepts calls that begin at `base`. A word (new | next when it does; or again first conflict
-- gap closed), and the job that the answer speaks of.
local function may_accept(jk, sent, base)
  if sent.idem ~= '' then
    local first = redis.call('GET', sent.idem_key)
    if first then
      local bar = string.find(first, '|', 1, true)
      local id, digest = string.sub(first, 1, bar - 1), string.sub(first, bar + 1)
      if digest ~= sent.idem then return 'conflict', id end
      if id ~= jk.id then return 'first', id end
    end
  end
  local j = redis.call('HMGET', jk.job, 'accepted', 'state', 'total')
  if not j[1] then return base == 0 and 'new' or 'gap', jk.id end
  local accepted = tonumber(j[1])
  if base < accepted then return 'again', jk.id end
  if FINAL[j[2]] or j[3] ~= '' then return 'closed', jk.id end
  return base == accepted and 'next' or 'gap', jk.id
end

-- Counts calls as accepted, and creates their job with the first ones. Returns the job's deadline, or ''.
local function accept(jk, sent, word, n, jobs, t)
  local deadline
  if word == 'new' then
    deadline = sent.deadline ~= '' and string.format('%.0f', t + tonumber(sent.deadline)) or ''
    if sent.flow then deadline = redis.call('HGET', jk.prefix .. 'j:' .. string.match(jk.id, '^[^/]*'), 'deadline') or '' end
    redis.call('HSET', jk.job, 'tool', sent.tool, 'tenant', sent.tenant, 'digest', sent.digest, 'queue', sent.queue,
      'state', 'queued', 'single', sent.single, 'accepted', n, 'done', 0, 'failed', 0, 'expired', 0,
      'total', sent.total, 'created', t, 'deadline', deadline, 'status', '', 'error', '',
      'idem', sent.idem ~= '' and sent.idem_key or '')
    if not sent.flow then redis.call('ZADD', jobs, t, jk.id) end
    if sent.idem ~= '' then redis.call('SET', sent.idem_key, jk.id .. '|' .. sent.idem) end
  else
    deadline = redis.call('HGET', jk.job, 'deadline') or ''
    redis.call('HINCRBY', jk.job, 'accepted', n)
    redis.call('HSET', jk.job, 'fed', t)
  end
  -- Large params must be there when the calls run: after their delay, and until their deadline.
  local until_ms = math.max(VALUES_MS + tonumber(sent.delay or 0), tonumber(deadline ~= '' and deadline or t) - t + VALUES_MS)
  redis.call('PEXPIRE', jk.values, string.format('%.0f', until_ms))
  return deadline
end

-- What a producer is told: {word, job, cost, finished, version, state, what, ms}.
local function accept_answer(prefix, word, id, costs, version, sent, what, ms)
  local j = redis.call('HMGET', prefix .. 'j:' .. id, 'done', 'failed', 'expired', 'state')
  local finished = tonumber(j[1] or 0) + tonumber(j[2] or 0) + tonumber(j[3] or 0)
  return {word, id, redis.call('HGET', costs, sent.digest .. ':' .. sent.tool) or '', finished,
    redis.call('GET', version) or '0', j[4] or 'queued', what or '', ms or 0}
end
