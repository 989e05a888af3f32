-- ADVANCE: a stage of a flow is done, all of it or nothing: the items as they are now, what ended is recorded, and
-- the flow is at its next stage, has made its members begin, or has ended. Only who holds it may say so, and once.
--
-- KEYS 1 open  sorted set, batch or >flow → next look
-- f:{flow}, j:{run}:steps, :resume: flows.lua; j:{run}…: jobs.lua
-- ARGV 1 prefix 2 flow 3 stage 4 fence 5 next stage ('' = the flow ends) 6 its queue 7 its label
--      8 members that begin now (planted before), which the next stage waits for ('' = it is no fan-out)
--      9 items (sealed) or what a member gives back 10 traces ('' = none) 11 what the task returns 12 grace ms
--      13 keep ok ms 14 keep err ms
--      15 number of records, for each position, letter (s success, f failure) and record, by position
--      then number of states of failed items, for each position and state; number of counters, for each field
--      and how much more
-- Returns {'ok', last member, parent, its stage, queue, label} | {'stopped'} | {'lost'} | {'unplanted', members}
local t, F = now_ms(), flows()
local prefix, id, stage = ARGV[1], ARGV[2], ARGV[3]
local keep = {ok = tonumber(ARGV[13]), err = tonumber(ARGV[14])}
local ends, grace = ARGV[5] == '', tonumber(ARGV[12])

local fl = F.read_flow(prefix, id)
local rk = F.run_keys(prefix, F.run_of(id))
local state = redis.call('HGET', prefix .. 'j:' .. F.run_of(id), 'state')
if not state or state == 'cancelled' or state == 'expired' then return {'stopped'} end
if not fl then return {'lost'} end

local function answer()
  if fl.u == '' or fl.at ~= 'end' then return {'ok', 0, '', '', '', ''} end
  local parent = redis.call('HMGET', prefix .. 'f:' .. fl.u, 'm', 'at', 'q', 'lb', 'ent')
  local last = parent[1] == '0' and parent[5] == '0'
  return {'ok', last and 1 or 0, fl.u, parent[2] or '', parent[3] or '', parent[4] or ''}
end

-- An answer that got lost is given again.
if fl.at ~= stage and fl.pv == stage and fl.pf == ARGV[4] then return answer() end
if fl.at ~= stage or fl.f ~= ARGV[4] or fl.w == '' then return {'lost'} end
if FINAL[state] then
  F.close_flow(prefix, fl, t, keep)
  return {'stopped'}
end
if F.close_flow(prefix, fl, t, keep) then return {'stopped'} end

local at = 15
local function next_argument()
  at = at + 1
  return ARGV[at - 1]
end

-- Nothing is changed before all is known to be right.
if not ends and F.stage_rank(ARGV[5]) <= F.stage_rank(stage) then
  return redis.error_reply('ADVANCE of ' .. id .. ' from ' .. stage .. ' back to ' .. ARGV[5])
end
local ended, before = F.ended_of(fl)
local records = {}
for k = 1, tonumber(next_argument()) do
  local position, letter, record = tonumber(next_argument()), next_argument(), next_argument()
  if fl.u ~= '' or position >= fl.n or ended[position] or (records[k - 1] and records[k - 1][1] >= position) then
    return redis.error_reply('ADVANCE records position ' .. position .. ' of ' .. id .. ' which it may not')
  end
  records[k] = {position, letter, record}
end
if ends and fl.u == '' and before + #records < fl.n then
  return redis.error_reply('ADVANCE ends ' .. id .. ' before all of its items')
end
local members = tonumber(ARGV[8])
if members then
  local missing = members
  for first = 0, members - 1, 500 do
    local keys = {}
    for m = first, math.min(first + 499, members - 1) do keys[#keys + 1] = fl.key .. '/' .. stage .. '.' .. m end
    missing = missing - redis.call('EXISTS', unpack(keys))
  end
  if missing > 0 then return {'unplanted', missing} end
end

-- Items that end: as COMMIT records calls.
local oks, errs, from = {}, {}, nil
for k, record in ipairs(records) do
  local into = record[2] == 's' and oks or errs
  into[#into + 1] = fl.base + record[1]
  into[#into + 1] = record[3]
  from = from or record[1]
  if not records[k + 1] or records[k + 1][1] ~= record[1] + 1 then
    redis.call('XADD', fl.jk.out, '*', 'i', (fl.base + from) .. '-' .. (fl.base + record[1]))
    from = nil
  end
  fl.z = fl.z == '' and tostring(record[1]) or fl.z .. ' ' .. record[1]
end
if #oks > 0 then
  redis.call('HSET', fl.jk.ok, unpack(oks))
  redis.call('HINCRBY', fl.jk.job, 'done', #oks / 2)
end
if #errs > 0 then
  redis.call('HSET', fl.jk.err, unpack(errs))
  redis.call('HINCRBY', fl.jk.job, 'failed', #errs / 2)
end
for _ = 1, tonumber(next_argument()) do
  local position = tonumber(next_argument())
  redis.call('HSET', rk.resume, fl.base + position, next_argument())
end
for _ = 1, tonumber(next_argument()) do
  local name, more = next_argument(), next_argument()
  -- A figure that is none any more, or has no room, begins anew: it must not keep items from ending, and by now
  -- they have been recorded.
  if type(redis.pcall('HINCRBY', rk.steps, name, more)) == 'table' then
    if type(redis.pcall('HSET', rk.steps, name, more)) == 'table' then
      redis.call('DEL', rk.steps)
      redis.call('HSET', rk.steps, name, more)
    end
  end
end

redis.call('HDEL', fl.jk.run, fl.name)
F.drop_inner(prefix, fl)
F.drop_members(prefix, fl)
if ends and fl.u == '' then
  fl.ins, fl.fm = '', 0
  F.forget_flow(prefix, fl)
  F.end_run(prefix, fl.jk, t, keep)
  redis.call('PUBLISH', fl.jk.channel, 'recorded')
  return {'ok', 0, '', '', '', ''}
end

redis.call('HDEL', fl.key, 'in', 'ins', 'fs', 'fm')
redis.call('HSET', fl.key, 'pv', stage, 'pf', ARGV[4], 'y', ARGV[11], 'l', 0, 'w', '', 'x', 0, 'k', 0, 'r', t, 'ent', 0,
  'z', fl.z)
if ends then
  -- What a member gives back stays until its parent has gathered it.
  local flat, gone = redis.call('HKEYS', fl.key), {'s'}
  for _, name in ipairs(flat) do if string.match(name, '^t[u%d]') then gone[#gone + 1] = name end end
  F.in_pieces(gone, 'HDEL', fl.key)
  redis.call('HSET', fl.key, 'at', 'end', 'res', ARGV[9])
  redis.call('PEXPIRE', fl.key, VALUES_MS)
  redis.call('ZREM', KEYS[1], fl.name)
  local left = redis.call('HINCRBY', prefix .. 'f:' .. fl.u, 'm', -1)
  if left <= 0 then
    -- Whoever ended the last one sends the next stage; should it not, it is sent after a while.
    redis.call('ZADD', KEYS[1], t + grace, '>' .. fl.u)
  end
  fl.at = 'end'
  return answer()
end

redis.call('HSET', fl.key, 'at', ARGV[5], 'q', ARGV[6], 'lb', ARGV[7], 's', ARGV[9])
if ARGV[10] ~= '' then redis.call('HSET', fl.key, 't' .. stage, ARGV[10]) end
if fl.u ~= '' then redis.call('PEXPIRE', fl.key, VALUES_MS) end
local look = t + grace
if fl.deadline ~= '' then look = math.min(look, tonumber(fl.deadline) + 1) end
if members then
  redis.call('HSET', fl.key, 'fs', stage, 'fm', members, 'm', members)
  local entries = {}
  for m = 0, members - 1 do
    entries[#entries + 1] = look
    entries[#entries + 1] = '>' .. id .. '/' .. stage .. '.' .. m
  end
  F.in_pieces(entries, 'ZADD', KEYS[1])
  if members > 0 then look = math.max(look, t + F.LONG_LOOK_MS) end
  if fl.deadline ~= '' then look = math.min(look, tonumber(fl.deadline) + 1) end
end
redis.call('ZADD', KEYS[1], look, fl.name)
if #records > 0 then redis.call('PUBLISH', fl.jk.channel, 'recorded') end
return answer()
