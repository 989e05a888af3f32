-- DISPATCH: forms batches of the calls whose time has come, as limits and turns allow, and says which doorbells
-- to ring. Any number of dispatchers may ask: each batch is given to one of them, and what a dispatcher that
-- ended did not ring is rung by the reaper.
--
-- KEYS 1 open   sorted set, batch → next look
--      2 costs  hash, digest:tool → µs, digest:tool:turn: commit.lua
-- the buffers' keys: buffers.lua; the limits': limits.lua; a batch's: batches.lua
-- ARGV 1 prefix 2 batches at most 3 grace ms (until the reaper rings) 4 reservation ms (of a slot, until a
--      worker claims the batch) 5 batches that may wait for a worker, of a queue, beside twice those that run and as
--      many as wait there without a key
--      6 keep ok ms 7 keep err ms
-- Entries of a formed batch: [number of its header, index, attempts, accepted at, params, MAC].
-- Flows that may go on now (ready: flows.lua) are rung as well.
-- Returns {ms until the next look (-1: not known), batch, queue, tool, calls, '', … or >flow, queue, label, items, stage}
local now = redis.call('TIME')
local t = now[1] * 1000 + math.floor(now[2] / 1000)
local prefix = ARGV[1]
local most, grace, reserve = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local keep = {ok = tonumber(ARGV[6]), err = tonumber(ARGV[7])}
local rings, formed = {}, 0
local LOOKS = 512

local function ring(id, queue, tool, calls)
  for _, value in ipairs({id, queue, tool, calls, ''}) do rings[#rings + 1] = value end
  formed = formed + 1
end

-- A delayed buffer's time has come: its calls go where calls without delay go.
local function mature(buffer, s)
  local look = false
  local spec = {}
  for _, name in ipairs({'tool', 'digest', 'tenant', 'queue', 'once', 'policy', 'key', 'limits', 'figures', 'size',
    'bytes', 'wait'}) do
    spec[#spec + 1] = name
    spec[#spec + 1] = s[name] or ''
  end
  open_buffer(prefix, s.into, spec)
  for _, item in ipairs(redis.call('LRANGE', prefix .. 'q:' .. buffer, 0, -1)) do
    local job, index, size, rest = string.match(item, '^(%S+) (%d+) (%d+) %d+ (%d+ %x+ .*)$')
    if job then
      item = table.concat({job, index, size, t, rest}, ' ')
      append(prefix, s.into, item, tonumber(size), t, t)
    end
  end
  drop_buffer(prefix, buffer, s.queue, s.tenant)
end

-- Takes the next calls of a buffer into a batch. False when a limit forbids it.
local function form(buffer, s)
  local keys = unpack_keys(s.limits)
  declare_again(prefix, keys, s.figures, t)
  keys = add_standing_keys(prefix, keys, s.tool, s.tenant)
  local allowed, forbids, again = admitted(prefix, keys, math.min(tonumber(s.size), MAX_CALLS), t)
  if allowed == 0 then
    step_out(prefix, buffer, s.queue, s.tenant)
    redis.call('HSET', prefix .. 'qs:' .. buffer, 'st', 'b', 'on', forbids)
    wait_for(prefix, buffer, forbids, again, t)
    -- Whoever could be woken has been: an earlier look would find that others are refused, again and again.
    redis.call('ZADD', prefix .. 'wake', again, forbids)
    return false
  end
  local most_bytes = tonumber(s.bytes)
  local popped, size, dropped = 0, 0, 0
  local entries, owners, headers, numbers, soonest = {}, {}, {}, {}, nil
  for _, item in ipairs(redis.call('LRANGE', prefix .. 'q:' .. buffer, 0, allowed - 1)) do
    local id, index, bytes, accepted, attempts, header, call =
      string.match(item, '^(%S+) (%d+) (%d+) (%d+) (%d+) (%x+) (.*)$')
    bytes = tonumber(bytes) or 0
    if size > 0 and size + bytes > most_bytes then break end
    popped = popped + 1
    s.sz = s.sz - bytes
    local jk = id and job_keys(prefix, id)
    local j = jk and redis.call('HMGET', jk.job, 'state', 'deadline', 'waiting')
    local live = j and j[1] and not FINAL[j[1]] and (tonumber(j[3] or '') or 0) > 0
    if live and j[2] ~= '' and t > tonumber(j[2]) then
      expire_waiting(prefix, jk, t, keep)
      live = false
    end
    if live then
      redis.call('HINCRBY', jk.job, 'waiting', -1)
      local which = id .. ' ' .. header
      if not numbers[which] then
        headers[#headers + 1] = redis.call('HGET', jk.headers, header) or '{}'
        numbers[which] = #headers - 1
        if j[2] ~= '' then soonest = math.min(soonest or math.huge, tonumber(j[2])) end
      end
      size = size + bytes
      entries[#entries + 1] = '[' .. numbers[which] .. ',' .. index .. ',' .. attempts .. ',' .. accepted .. ','
        .. string.sub(call, 2)
      owners[#owners + 1] = id .. ' ' .. index
    else
      dropped = dropped + 1
      pend(prefix, -1, -bytes)
    end
  end
  if popped > 0 then redis.call('LTRIM', prefix .. 'q:' .. buffer, popped, -1) end
  s.n = s.n - popped
  s.flush = math.max(0, (tonumber(s.flush or '') or 0) - popped)
  redis.call('HSET', prefix .. 'qs:' .. buffer, 'n', s.n, 'sz', s.sz, 'flush', s.flush)
  if #entries > 0 then
    local id = '+' .. now[1] .. string.format('%06d', now[2]) .. '-' .. formed
    local look = t + grace
    if soonest then look = math.min(look, soonest + 1) end
    redis.call('HSET', prefix .. 'b:' .. id, 'n', #entries, 'base', 0, 'd', 0, 'f', 0, 'l', 0, 'w', '', 'x', 0,
      'a', 0, 'careful', s.once, 'once', s.once, 'created', t, 'k', 0, 'r', t, 'queue', s.queue, 'tool', s.tool,
      'h', table.concat(headers, '\n'), 'c', '[' .. table.concat(entries, ',') .. ']',
      'o', table.concat(owners, ' '), 'lk', pack_keys(keys), 'lf', s.figures or '', 'sz', size, 'tenant', s.tenant,
      'policy', s.policy, 'md', soonest or '')
    redis.call('ZADD', KEYS[1], look, id)
    redis.call('ZADD', prefix .. 'formed:' .. s.queue, t, id)
    take_slots(prefix, keys, id, #entries, t, t + reserve)
    local field = s.digest .. ':' .. s.tool
    local costs = redis.call('HMGET', KEYS[2], field .. ':turn', field)
    local cost = tonumber(costs[1] or costs[2] or '') or 1000
    charge_turn(prefix, buffer, s.queue, s.tenant, s.key, cost * #entries)
    ring(id, s.queue, s.tool, #entries)
  end
  settle_buffer(prefix, buffer, s, t)
  return true
end

-- A buffer of which nothing can be read is taken out of the way.
local function forget_buffer(buffer)
  redis.call('DEL', prefix .. 'q:' .. buffer, prefix .. 'qs:' .. buffer)
  for _, name in ipairs({'due', 'buffers'}) do redis.call('ZREM', prefix .. name, buffer) end
end

local function is_due(buffer)
  redis.call('ZREM', prefix .. 'due', buffer)
  local s = read_buffer(prefix, buffer)
  if not s then return forget_buffer(buffer) end
  if s.into and s.into ~= '' then return mature(buffer, s) end
  if s.st == '' then line_up(prefix, buffer, s.queue, s.tenant) end
end

-- A batch that was formed, and lost its slots before a worker came: it goes before what was not.
local function readmit(id)
  local b = read_batch(prefix, id)
  -- One that has a worker by now keeps its slots as long as its lease, whatever a reservation would say.
  if not b or b.l > t then return end
  declare_again(prefix, b.keys, b.figures, t)
  local allowed, forbids, again = admitted(prefix, b.keys, 1, t, id, b.un)
  if allowed == 0 then return wait_for(prefix, '=' .. id, forbids, again, t) end
  take_slots(prefix, b.keys, id, 0, t, t + reserve)
  redis.call('HSET', prefix .. 'b:' .. id, 'r', t)
  redis.call('ZADD', KEYS[1], t + grace, id)
  redis.call('ZADD', prefix .. 'formed:' .. b.queue, t, id)
  ring(id, b.queue, b.tool, b.n - b.d)
end

local function wake(key)
  redis.call('ZREM', prefix .. 'wake', key)
  local waiting = waiters_of(prefix, key)
  -- The batches among them first ('=' sorts before every buffer's name among those that came together).
  for _, waiter in ipairs(redis.call('ZRANGE', waiting, 0, 99)) do
    redis.call('ZREM', waiting, waiter)
    if string.sub(waiter, 1, 1) == '=' then
      readmit(string.sub(waiter, 2))
    else
      local s = read_buffer(prefix, waiter)
      if s then line_up(prefix, waiter, s.queue, s.tenant) end
    end
  end
  -- A batch that is back in this line says when it is looked at again: until then the key admits nobody.
  if redis.call('EXISTS', waiting) == 1 then redis.call('ZADD', prefix .. 'wake', 'NX', t, key) end
end

local ready = redis.call('ZRANGE', prefix .. 'ready', 0, most - 1)
for _, id in ipairs(ready) do
  local F = flows()
  local good, fl = guarded(F.look_at_flow, prefix, id, t, keep, grace, grace)
  if not good then F.set_flow_aside(prefix, id, t, keep) elseif fl then F.ring_flow(prefix, fl, rings, t) end
end
for _, buffer in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'due', '-inf', t, 'LIMIT', 0, LOOKS)) do
  if not guarded(is_due, buffer) then pcall(forget_buffer, buffer) end
end
for _, key in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'wake', '-inf', t, 'LIMIT', 0, LOOKS)) do
  guarded(wake, key)
end
local full = {}
for _, queue in ipairs(redis.call('SMEMBERS', prefix .. 'turns')) do
  local waiting, busy = prefix .. 'formed:' .. queue, prefix .. 'busy:' .. queue
  -- What nobody came for in a minute is the reaper's; it does not hold up the others.
  redis.call('ZREMRANGEBYSCORE', waiting, '-inf', t - 60000)
  redis.call('ZREMRANGEBYSCORE', busy, '-inf', t)
  -- As many may wait as calls without a key do: otherwise these would be served first for as long as they come.
  local plain = redis.call('ZCARD', waiting_key(prefix, queue))
  local room = tonumber(ARGV[5]) + 2 * redis.call('ZCARD', busy) + plain - redis.call('ZCARD', waiting)
  local looks = 0
  while room > 0 and formed < most and looks < LOOKS do
    local tenant, buffer = next_turn(prefix, queue)
    if not tenant then break end
    looks = looks + 1
    local before = formed
    local s = buffer and read_buffer(prefix, buffer)
    if not s then
      redis.call('ZREM', prefix .. 'fb:' .. queue .. ':' .. tenant, buffer or '')
      step_out(prefix, buffer or '', queue, tenant)
    elseif not guarded(form, buffer, s) then
      step_out(prefix, buffer, queue, tenant)
      forget_buffer(buffer)
    end
    room = room - (formed - before)
  end
  -- Its workers say when there is room again; who waits for a limit is in `wake`.
  if room <= 0 then full[queue] = true end
end

local next_look = -1
local function earlier(at) if at and (next_look < 0 or at < next_look) then next_look = at end end
if #ready == most then earlier(t) end
earlier(tonumber(redis.call('ZRANGE', prefix .. 'due', 0, 0, 'WITHSCORES')[2]))
earlier(tonumber(redis.call('ZRANGE', prefix .. 'wake', 0, 0, 'WITHSCORES')[2]))
for _, queue in ipairs(redis.call('SMEMBERS', prefix .. 'turns')) do
  if not full[queue] then earlier(t) end
end
table.insert(rings, 1, next_look < 0 and -1 or math.max(0, next_look - t))
return rings
