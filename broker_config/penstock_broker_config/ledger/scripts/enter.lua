-- ENTER: takes the lease of a flow, if it is at this stage and may go on. The fence that it returns is what an
-- advance must show. A holder that did not come back is counted as a loss of the stage.
--
-- KEYS 1 open  sorted set, batch or >flow → next look
-- f:{flow}: flows.lua; j:{run}: jobs.lua; limits: limits.lua
-- ARGV 1 prefix 2 flow 3 stage 4 holder 5 lease ms 6 holder known to be dead ('' = none) 7 keep ok ms 8 keep err ms
--      9 1 = traces too 10… full names of tools that would be called without asking any limit
-- Returns {'gone'} | {'held', holder} | {'early', at, members not at their end}
--         {'done', at, what its task returned, nobody entered the next stage, was the last member, members,
--          members not at their end}
--         {'granted', fence, program, items, n, base, ended positions, losses, now, created, deadline, tenant,
--          parent, limited, inner jobs, {stage, traces, …}}
local t, F = now_ms(), flows()
local prefix, id, stage, holder = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local keep = {ok = tonumber(ARGV[7]), err = tonumber(ARGV[8])}

local fl, why = F.read_flow(prefix, id)
if why == 'damaged' then
  F.set_flow_aside(prefix, id, t, keep)
  return {'gone'}
elseif not fl then
  F.miss_flow(prefix, id, t, keep)
  return {'gone'}
end
local parent = fl.u ~= '' and redis.pcall('HMGET', prefix .. 'f:' .. fl.u, 'at', 'fs', 'fm', 'm', 'ent')
if parent and parent.err then return {'gone'} end
local fan, number = string.match(id, '/([^/.]+)%.(%d+)$')
if parent and parent[1] and not (parent[2] == fan and tonumber(number) < tonumber(parent[3])) then
  return {'early', fl.at, 0}  -- its fan-out has not begun
end
if fl.at ~= stage then
  if F.stage_rank(stage) > F.stage_rank(fl.at) then return {'early', fl.at, fl.m} end
  local last = fl.at == 'end' and parent and parent[4] == '0' and parent[5] == '0'
  return {'done', fl.at, fl.y or '', fl.pv == stage and fl.ent ~= '1' and 1 or 0, last and 1 or 0,
    fl.fs == stage and fl.fm or 0, fl.m}
end
if F.close_flow(prefix, fl, t, keep) then return {'gone'} end
if fl.m > 0 then return {'early', fl.at, fl.m} end
if fl.l > t and fl.w ~= holder and fl.w ~= ARGV[6] and fl.w ~= '' then return {'held', fl.w} end
if fl.w ~= '' and fl.w ~= holder then fl.x = fl.x + 1 end

local lease = t + tonumber(ARGV[5])
local fence = redis.call('HINCRBY', fl.key, 'f', 1)
redis.call('HSET', fl.key, 'l', lease, 'w', holder, 'x', fl.x, 'ent', 1)
redis.call('ZADD', KEYS[1], lease, fl.name)
redis.call('ZREM', prefix .. 'ready', id)
redis.call('HSET', fl.jk.run, fl.name, holder)
if fl.state == 'queued' then redis.call('HSET', fl.jk.job, 'state', 'running', 'started', t) end
local limited = 0
if redis.call('EXISTS', prefix .. 'set') == 1 then
  for k = 10, #ARGV do
    if #add_standing_keys(prefix, {}, ARGV[k], fl.tenant) > 0 then limited = 1 end
  end
end
local traces, items = {}, redis.call('HGET', fl.key, 's') or ''
if ARGV[9] == '1' then
  local flat = redis.call('HGETALL', fl.key)
  for i = 1, #flat, 2 do
    if string.match(flat[i], '^t[u%d]') then
      traces[#traces + 1] = string.sub(flat[i], 2)
      traces[#traces + 1] = flat[i + 1]
    end
  end
end
return {'granted', fence, fl.p, items, fl.n, fl.base, fl.z, fl.x, t, fl.created, fl.deadline, fl.tenant, fl.u, limited,
  fl.ins, traces}
