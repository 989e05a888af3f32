-- Batches: calls that are claimed together, run in order and committed as a prefix. A batch is a stretch of one
-- job's calls (its id is JOB.BASE), or was formed of the calls of many (+TIME-NUMBER).
--
-- b:{batch}  hash: n calls, base first index, d recorded so far, f fence, l lease until, w holder,
--            x losses nobody is charged with, a losses charged to the next call, careful, once, created,
--            k rings, r last ring, queue tool tenant policy, h header (of a formed batch: one a line),
--            c calls; lk limits (keys, one a line), lf figures of those, as declared, un for how many of them, the
--            last ones, it has taken no tokens, sz bytes; of a formed
--            batch: o owners ("job index …"), z positions that ended without having run, md first deadline;
--            else p place in its line
-- wait:{queue}  sorted set, batch → place (µs of its acceptance): stretches that nobody has taken and that no limit
--               holds up

local function waiting_key(prefix, queue)
  return prefix .. 'wait:' .. queue
end

local function natural(text)
  local number = tonumber(text or '')
  if not number or number ~= number or number < 0 or number % 1 ~= 0 or number > 1e15 then return nil end
  return number
end

-- A batch's record with its numbers read. Records are in a Redis that others may write to: nil, and why, when
-- there is none or its numbers cannot be believed.
local function read_batch(prefix, id)
  local b = redis.pcall('HMGET', prefix .. 'b:' .. id, 'n', 'base', 'd', 'l', 'w', 'x', 'a', 'careful', 'once',
    'created', 'queue', 'tool', 'r', 'f', 'o', 'lk', 'sz', 'z', 'md', 'tenant', 'lf', 'un')
  if b.err then return nil, 'damaged' end
  if not b[1] and not b[2] then return nil, 'gone' end
  local batch = {id = id, w = b[5], careful = b[8], once = b[9], created = b[10], queue = b[11], tool = b[12],
    f = b[14], sz = natural(b[17]) or 0, md = natural(b[19]), tenant = b[20] or '', figures = b[21] or '', closed = {}, un = natural(b[22]) or 0,
    keys = b[16] and b[16] ~= '' and unpack_keys(b[16]) or {}}
  for i, name in pairs({[1] = 'n', [2] = 'base', [3] = 'd', [4] = 'l', [6] = 'x', [7] = 'a', [13] = 'r'}) do
    batch[name] = natural(b[i])
    if not batch[name] then return nil, 'damaged' end
  end
  if batch.n < 1 or batch.n > MAX_CALLS or batch.d >= batch.n or not (batch.w and batch.queue and batch.tool) then
    return nil, 'damaged'
  end
  if b[15] then
    local jobs = {}
    batch.owners = {}
    for job, index in string.gmatch(b[15], '(%S+) (%d+)') do
      jobs[job] = jobs[job] or job_keys(prefix, job)
      batch.owners[#batch.owners + 1] = {jobs[job], tonumber(index)}
    end
    if #batch.owners ~= batch.n then return nil, 'damaged' end
    for position in string.gmatch(b[18] or '', '%d+') do batch.closed[tonumber(position)] = true end
  else
    batch.jk = job_keys(prefix, string.match(id, '^(.*)%.%d+$') or id)
  end
  return batch
end

-- The job of the call at a position (from 0), and its index there.
local function owner(b, position)
  if not b.owners then return b.jk, b.base + position end
  local pair = b.owners[position + 1]
  return pair[1], pair[2]
end

-- A formed batch's header with that number (from 0).
local function header_line(headers, number)
  local at = 0
  for line in string.gmatch(headers, '[^\n]+') do
    if at == number then return line end
    at = at + 1
  end
  return ''
end

-- Each job of a formed batch once.
local function owners_of(b)
  local jobs, seen = {}, {}
  for _, pair in ipairs(b.owners) do
    if not seen[pair[1].id] then
      seen[pair[1].id] = true
      jobs[#jobs + 1] = pair[1]
    end
  end
  return jobs
end

local function leave_line(prefix, b, t)
  -- One that a dispatcher rang for is in line there, whatever it was made of.
  if b.owners or #b.keys > 0 then redis.call('ZREM', prefix .. 'formed:' .. b.queue, b.id) end
  if b.owners then
    redis.call('ZREM', prefix .. 'busy:' .. b.queue, b.id)
    if redis.call('SISMEMBER', prefix .. 'turns', b.queue) == 1 then wake_dispatchers(prefix) end
  end
  if #b.keys > 0 then free_slots(prefix, b.keys, b.id, t) end
end

-- The batch has ended, in whatever way.
local function forget_batch(prefix, open, b, t)
  if redis.call('DEL', prefix .. 'b:' .. b.id) == 1 then pend(prefix, -b.n, -b.sz) end
  redis.call('ZREM', open, b.id)
  if b.owners then
    for _, jk in ipairs(owners_of(b)) do redis.call('HDEL', jk.run, b.id) end
  else
    redis.call('HDEL', b.jk.run, b.id)
    redis.call('ZREM', waiting_key(prefix, b.queue), b.id)
  end
  leave_line(prefix, b, t)
end

-- Ends what cannot run any more: calls of jobs that have ended, and those whose deadline has passed. The
-- positions of a formed batch that must be passed over are remembered in `closed`; true when none is left. Else `soonest`
-- is the first deadline of what is left, if it has one.
local function close_calls(prefix, open, b, t, keep)
  if not b.owners then
    local j = redis.call('HMGET', b.jk.job, 'state', 'deadline')
    if not j[1] or FINAL[j[1]] then
      forget_batch(prefix, open, b, t)
      return true
    end
    if j[2] ~= '' and t > tonumber(j[2]) then
      forget_batch(prefix, open, b, t)
      expire_calls(b.jk, b.base + b.d, b.n - b.d, t, keep)
      return true
    end
    b.state, b.deadline, b.soonest = j[1], j[2], tonumber(j[2])
    return false
  end
  b.state, b.deadline = 'mixed', ''
  local live, marked = 0, {}
  for position = b.d, b.n - 1 do
    if not b.closed[position] then
      local jk, index = owner(b, position)
      local j = redis.call('HMGET', jk.job, 'state', 'deadline')
      if not j[1] or FINAL[j[1]] then
        b.closed[position] = true
      elseif j[2] ~= '' and t > tonumber(j[2]) then
        b.closed[position] = true
        marked[#marked + 1] = position
        expire_calls(jk, index, 1, t, keep)
      else
        live = live + 1
        if j[2] ~= '' then b.soonest = math.min(b.soonest or math.huge, tonumber(j[2])) end
      end
    end
  end
  if live == 0 then
    forget_batch(prefix, open, b, t)
    return true
  end
  if #marked > 0 then
    local old = redis.call('HGET', prefix .. 'b:' .. b.id, 'z')
    redis.call('HSET', prefix .. 'b:' .. b.id, 'z', (old and old .. ' ' or '') .. table.concat(marked, ' '))
  end
  return false
end

-- Takes a batch that cannot be believed out of the way of the others, kept for somebody to look at; its job fails.
local function set_aside(prefix, open, id, t, keep)
  redis.call('ZREM', open, id)
  redis.call('ZADD', prefix .. 'broken', t, id)
  local function fail(job)
    local jk = job_keys(prefix, job)
    local state = redis.call('HGET', jk.job, 'state')
    if not state or FINAL[state] then return end
    redis.call('HSET', jk.job, 'error', 'the record of batch ' .. id .. ' was damaged')
    end_job(jk, 'failed', t, keep)
  end
  local owners = redis.pcall('HGET', prefix .. 'b:' .. id, 'o')
  if type(owners) == 'string' then
    for job in string.gmatch(owners, '(%S+) %d+') do pcall(fail, job) end
  else
    pcall(fail, string.match(id, '^(.*)%.%d+$') or id)
  end
end
