-- COMMIT: records the results of the next calls of a batch, in order, all or none, and keeps the lease. What
-- is recorded is never overwritten: only the current fence may commit, and only from where the record ends
-- (the same commit sent twice records once).
--
-- KEYS 1 open   sorted set, batch → next look
--      2 costs  hash, digest:tool → µs; digest:tool:turn → what a turn is charged for, where fuel is counted
-- j:{job}…: jobs.lua; b:{batch}: batches.lua; limits: limits.lua; calls that are tried again: buffers.lua
-- ARGV 1 prefix 2 batch 3 fence 4 position of the first record in the batch 5 lease ms
--      6 keep ok ms 7 keep err ms 8 cost field 9 measured µs per call ('' = not measured), and
--        after a space what a call is charged for in turns, if that is another figure
--      10 ms for which the batch's limits pause, but for its tenant's ('' = not at all)
--      11 one letter a record: s success, f failure, r to be tried again, n nothing (its job or its time is over)
--      12… the records; of r: "delay-ms attempts", the header and the call, a line each
-- Returns 'ok' | 'finished' | 'stopped' | 'lost'
local t = now_ms()
local prefix, id = ARGV[1], ARGV[2]
local keep = {ok = tonumber(ARGV[6]), err = tonumber(ARGV[7])}
local lease = t + tonumber(ARGV[5])

local b = read_batch(prefix, id)
local state
if not b then
  state = redis.call('HGET', job_keys(prefix, string.match(id, '^(.*)%.%d+$') or id).job, 'state')
elseif not b.owners then
  state = redis.call('HGET', b.jk.job, 'state')
  if not state or FINAL[state] then
    -- Whoever lost it long ago must not free the slots under which it may still run.
    if b.f == ARGV[3] then forget_batch(prefix, KEYS[1], b, t) end
    b = nil
  end
end
if not b then
  -- A finished job means that this batch was recorded: the first answer got lost on its way.
  return (state == 'cancelled' or state == 'expired') and 'stopped' or 'lost'
end
if b.f ~= ARGV[3] then return 'lost' end

local from, letters, count = tonumber(ARGV[4]), ARGV[11], #ARGV - 11
if from > b.d or from + count > b.n then return redis.error_reply('COMMIT out of order') end

-- Puts a call into the line of those that are tried again later.
local function try_again(jk, index, text)
  local delay, attempts, header, call = string.match(text, '^(%d+) (%d+)\n([^\n]*)\n(.*)$')
  local spec = redis.call('HMGET', prefix .. 'b:' .. id, 'queue', 'tool', 'tenant', 'policy', 'once')
  local digest = string.match(ARGV[8], '^[^:]*')
  local into = '~' .. redis.sha1hex(table.concat({spec[2], digest, spec[3], spec[1], spec[4] or '', spec[5],
    pack_keys(b.keys)}, '\n'))
  local due = math.ceil((t + tonumber(delay)) / 10) * 10
  local buffer = into .. '@' .. due
  open_buffer(prefix, buffer, {'tool', spec[2], 'digest', digest, 'tenant', spec[3], 'queue', spec[1], 'once',
    spec[5], 'policy', spec[4] or '', 'key', '', 'limits', pack_keys(b.keys), 'figures', b.figures, 'size', 64,
    'bytes', 1048576, 'wait', 0, 'into', into})
  local item = table.concat({jk.id, index, #call, t, attempts, keep_header(jk, header), call}, ' ')
  redis.call('HINCRBY', jk.job, 'waiting', 1)
  local deadline = redis.call('HGET', jk.job, 'deadline')
  if deadline and deadline ~= '' then redis.call('ZADD', prefix .. 'late', tonumber(deadline) + 1, jk.id) end
  pend(prefix, 1, #call)
  if append(prefix, buffer, item, #call, due, t) then wake_dispatchers(prefix) end
end

local function record_stretch(jk)
  local oks, errs, done, failed, open_end = {}, {}, 0, 0, nil
  local first = b.base + b.d
  local function say(last)
    if open_end then redis.call('XADD', jk.out, '*', 'i', open_end .. '-' .. last); open_end = nil end
  end
  for k = b.d - from + 1, count do
    local letter, index = string.sub(letters, k, k), b.base + from + k - 1
    if letter == 's' or letter == 'f' then
      local into = errs
      if letter == 's' then into = oks; done = done + 1 else failed = failed + 1 end
      into[#into + 1] = index
      into[#into + 1] = ARGV[11 + k]
      open_end = open_end or index
    else
      say(index - 1)
      if letter == 'r' then try_again(jk, index, ARGV[11 + k]) end
    end
  end
  if done > 0 then redis.call('HSET', jk.ok, unpack(oks)); redis.call('HINCRBY', jk.job, 'done', done) end
  if failed > 0 then redis.call('HSET', jk.err, unpack(errs)); redis.call('HINCRBY', jk.job, 'failed', failed) end
  say(b.base + from + count - 1)
end

local function record_each()
  for k = b.d - from + 1, count do
    local letter = string.sub(letters, k, k)
    local jk, index = owner(b, from + k - 1)
    local state = redis.call('HGET', jk.job, 'state')
    if state and not FINAL[state] and not b.closed[from + k - 1] then
      if letter == 'n' then
        expire_calls(jk, index, 1, t, keep)
      elseif letter == 'r' then
        try_again(jk, index, ARGV[11 + k])
      else
        redis.call('HSET', letter == 's' and jk.ok or jk.err, index, ARGV[11 + k])
        redis.call('HINCRBY', jk.job, letter == 's' and 'done' or 'failed', 1)
        redis.call('XADD', jk.out, '*', 'i', index .. '-' .. index)
        end_job_if_complete(jk, t, keep)
        redis.call('PUBLISH', jk.channel, 'recorded')
      end
    end
  end
end

if from + count > b.d then
  if b.owners then record_each() else record_stretch(b.jk) end
  b.d = from + count
end
if ARGV[9] ~= '' then
  local fields = {ARGV[8], ARGV[8] .. ':turn'}
  local old = redis.call('HMGET', KEYS[2], unpack(fields))
  local new = {string.match(ARGV[9], '^(%S+) ?(%S*)$')}
  for k, field in ipairs(fields) do
    local cost = tonumber(new[k])
    if cost then
      if old[k] then cost = 0.7 * tonumber(old[k]) + 0.3 * cost end
      redis.call('HSET', KEYS[2], field, string.format('%.1f', cost))
    elseif old[k] then
      redis.call('HDEL', KEYS[2], field)  -- its fuel is not counted any more
    end
  end
end
if ARGV[10] ~= '' then
  for _, key in ipairs(b.keys) do
    -- What one tool met is nothing that its tenant's other tools should wait for.
    if string.sub(key, 1, 7) ~= 'tenant:' then pause_limit(prefix, key, tonumber(ARGV[10]), t) end
  end
end
local answer = 'ok'
if b.d == b.n then
  forget_batch(prefix, KEYS[1], b, t)
  if not b.owners then end_job_if_complete(b.jk, t, keep) end
  answer = 'finished'
elseif #b.keys > 0 and not keep_slots(prefix, b, t, lease) then
  -- The lease was over, and its slots went to others: what is recorded stays, the rest waits for a slot.
  redis.call('HINCRBY', prefix .. 'b:' .. id, 'f', 1)
  redis.call('HSET', prefix .. 'b:' .. id, 'd', b.d, 'a', 0, 'l', 0, 'w', '')
  redis.call('ZADD', KEYS[1], t, id)
  answer = 'lost'
else
  redis.call('HSET', prefix .. 'b:' .. id, 'd', b.d, 'a', 0, 'l', lease)
  redis.call('ZADD', KEYS[1], lease, id)
  if b.owners then redis.call('ZADD', prefix .. 'busy:' .. b.queue, lease, id) end
end
if not b.owners then redis.call('PUBLISH', b.jk.channel, 'recorded') end
return answer
