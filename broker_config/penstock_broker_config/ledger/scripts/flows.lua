-- Flows: items of a run that go through its pipeline together, a stage at a time. A run is a job like any other;
-- a flow's id is RUN/BASE, that of a member of a fan-out PARENT/STAGE.M. A stage that calls a tool has an inner
-- job, FLOW:STAGE (or FLOW:STAGE-NAME): a job that nobody lists, with this flow as its `parent`.
--
-- f:{flow}  hash: run, u parent ('' = the run), p program, n items, base index of the first, at stage, q queue and
--           lb label of that stage, s items (sealed JSON), t{stage} traces, z positions that have ended
--           f fence, l lease until, w holder, x losses at this stage, ent 1 when somebody has entered it
--           pv stage before, pf fence that ended it, y what its task returned
--           in inner job of this stage, ins all of them; m members not at their end, fs fan's stage, fm members
--           res what a member gives back (at is 'end' then); pc, sz items and bytes counted as pending
--           created, k rings, r last ring.  A member's expires 14 days after it was last looked at
-- ready     sorted set, flow → since: a dispatcher rings for it now. Every flow at work is in `open` too, as >FLOW
-- j:{run}:plan string, the plan (sealed);  :flows set of its flows;  :inner set of its inner jobs
-- j:{run}:steps  hash, LABEL|what → count;  :after string, what waits for the run's end
-- j:{run}:resume hash, index → state of an item that failed; >BASE "program stage n positions", state and
--           >BASE:STAGE traces of a flow that never ended.  Retention of failures

-- All of it is made when a script asks for it: scripts that only have to do with batches would pay for nothing.

local function flows()
  -- A flow that waits for others is looked at all the same, in case that nobody says when they end.
  local LONG_LOOK_MS = 60000
  -- More than any fan-out makes; a number that was changed must not keep this server busy for ever.
  local MOST_MEMBERS = 1000000
  -- A flow that is due is the dispatchers'; the reaper looks when none of them did.
  local DISPATCH_MS = 1000

  local function run_of(flow) return string.match(flow, '^[^/]*') end

  local function run_keys(prefix, run)
    local j = prefix .. 'j:' .. run
    return {plan = j .. ':plan', flows = j .. ':flows', inner = j .. ':inner', steps = j .. ':steps',
      after = j .. ':after', resume = j .. ':resume'}
  end

  -- Stages are numbers, and those of undoing (u0, u1, …) come after all of them.
  local function stage_rank(stage)
    if stage == 'end' then return math.huge end
    local undo = string.match(stage, '^u(%d+)$')
    return undo and 1e9 + undo or natural(stage) or -1
  end

  -- A flow's record with its numbers read; nil, and why, when there is none or it cannot be believed.
  local function read_flow(prefix, id)
    local v = redis.pcall('HMGET', prefix .. 'f:' .. id, 'run', 'u', 'p', 'n', 'base', 'at', 'q', 'lb', 'f', 'l', 'w', 'x',
      'ent', 'pv', 'pf', 'm', 'fs', 'fm', 'in', 'ins', 'pc', 'sz', 'r', 'z', 'created', 'y')
    if v.err then return nil, 'damaged' end
    if not v[1] and not v[6] then return nil, 'gone' end
    local fl = {id = id, name = '>' .. id, key = prefix .. 'f:' .. id, run = v[1], u = v[2], p = v[3], at = v[6], q = v[7],
      lb = v[8], f = v[9], w = v[11], ent = v[13], pv = v[14], pf = v[15], fs = v[17], inner = v[19], ins = v[20] or '',
      z = v[24] or '', created = v[25], y = v[26]}
    fl.n, fl.base, fl.l, fl.x, fl.m = natural(v[4]), natural(v[5]), natural(v[10]), natural(v[12]), natural(v[16])
    fl.fm, fl.pc, fl.sz, fl.r = natural(v[18] or '0'), natural(v[21]), natural(v[22]), natural(v[23])
    if not (fl.n and fl.base and fl.l and fl.x and fl.m and fl.fm and fl.pc and fl.sz and fl.r and natural(fl.f) and fl.u
        and fl.w and fl.q and fl.lb and fl.at and fl.p and fl.created) or fl.run ~= run_of(id) or fl.n > MAX_CALLS
        or stage_rank(fl.at) < 0 or not string.match(fl.p .. ' ' .. fl.f .. ' ' .. fl.created, '^%d+ %d+ %d+$')
        or not string.match(fl.z, '^[%d ]*$') or (fl.u == '' and fl.at == 'end') or (fl.m > 0 and not fl.fs)
        or fl.fm > MOST_MEMBERS or fl.u ~= (string.match(id, '^(.*)/[^/]*%.%d+$') or '')
        or (fl.u == '' and id ~= string.format('%s/%.0f', fl.run, fl.base)) then
      return nil, 'damaged'
    end
    fl.jk = job_keys(prefix, fl.run)
    return fl
  end

  -- Ends a job that belonged to a flow: what runs of it is stopped, and nothing is kept.
  local function drop_job(prefix, id)
    local ik = job_keys(prefix, id)
    local state = redis.call('HGET', ik.job, 'state')
    if state and not FINAL[state] then
      local holders = redis.call('HGETALL', ik.run)
      if redis.call('ZREM', prefix .. 'late', id) == 1 or (tonumber(redis.call('HGET', ik.job, 'waiting') or '') or 0) > 0 then
        redis.call('HSET', prefix .. 'pend', 'dead', 1)
      end
      tell_holders(prefix, id, holders)
    end
    redis.call('UNLINK', ik.job, ik.ok, ik.err, ik.out, ik.run, ik.headers)
    redis.call('SREM', run_keys(prefix, run_of(id)).inner, id)
  end

  local function drop_inner(prefix, fl)
    for id in string.gmatch(fl.ins, '%S+') do
      if string.sub(id, 1, #fl.id + 1) == fl.id .. ':' then drop_job(prefix, id) end
    end
  end

  -- In pieces that Lua's stack can pass on.
  local function in_pieces(values, command, key)
    for first = 1, #values, 500 do
      local last = math.min(first + 499, #values)
      if key then redis.call(command, key, unpack(values, first, last)) else redis.call(command, unpack(values, first, last)) end
    end
  end

  -- Members of a flow's last fan-out: nobody needs what they gave back any more.
  local function drop_members(prefix, fl)
    if not fl.fs or fl.fm == 0 then return end
    local keys, ids = {}, {}
    for m = 0, fl.fm - 1 do
      ids[m + 1] = fl.id .. '/' .. fl.fs .. '.' .. m
      keys[m + 1] = prefix .. 'f:' .. ids[m + 1]
    end
    in_pieces(keys, 'UNLINK')
    in_pieces(ids, 'SREM', run_keys(prefix, fl.run).flows)
  end

  -- The flow may go on now: a dispatcher is told.
  local function due_flow(prefix, id, t)
    redis.call('ZADD', prefix .. 'open', t + DISPATCH_MS, '>' .. id)
    redis.call('ZADD', prefix .. 'ready', t, id)
    wake_dispatchers(prefix)
  end

  -- The flow has ended, in whatever way.
  local function forget_flow(prefix, fl)
    if redis.call('DEL', fl.key) == 1 and fl.pc > 0 then pend(prefix, -fl.pc, -fl.sz) end
    redis.call('ZREM', prefix .. 'open', fl.name)
    redis.call('ZREM', prefix .. 'ready', fl.id)
    redis.call('SREM', run_keys(prefix, fl.run).flows, fl.id)
    redis.call('HDEL', fl.jk.run, fl.name)
    drop_inner(prefix, fl)
    drop_members(prefix, fl)
  end

  -- Keeps what is needed to go on from here in another run.
  local function keep_state(prefix, fl, keep)
    local into = run_keys(prefix, fl.run).resume
    local flat = redis.call('HGETALL', fl.key)
    local name = '>' .. fl.base
    for i = 1, #flat, 2 do
      if flat[i] == 's' then
        redis.call('HSET', into, name, fl.p .. ' ' .. fl.at .. ' ' .. fl.n .. ' ' .. string.gsub(fl.z, ' ', ',') .. '\n' .. flat[i + 1])
      elseif string.match(flat[i], '^t[u%d]') then
        redis.call('HSET', into, name .. ':' .. string.sub(flat[i], 2), flat[i + 1])
      end
    end
    redis.call('PEXPIRE', into, keep.err)
  end

  -- Which positions have ended: true at each of them.
  local function ended_of(fl)
    local ended, count = {}, 0
    for position in string.gmatch(fl.z, '%d+') do
      ended[tonumber(position)] = true
      count = count + 1
    end
    return ended, count
  end

  -- Ends a run whose input has ended and of which no flow is left: if not all of its items have ended, some were lost.
  local function end_run(prefix, jk, t, keep)
    if end_job_if_complete(jk, t, keep) or redis.call('SCARD', run_keys(prefix, jk.id).flows) > 0 then return end
    local j = redis.call('HMGET', jk.job, 'total', 'state', 'done', 'failed', 'expired')
    if j[1] == '' or FINAL[j[2] or 'failed'] then return end
    redis.call('HSET', jk.job, 'error', j[1] - j[3] - j[4] - j[5] .. ' of its items were lost')
    end_job(jk, 'failed', t, keep)
  end

  -- Ends a flow that cannot go on, since its run has ended or the time is over. False when it can.
  local function close_flow(prefix, fl, t, keep)
    local j = redis.call('HMGET', fl.jk.job, 'state', 'deadline', 'tenant')
    fl.state, fl.deadline, fl.tenant = j[1], j[2] or '', j[3] or ''
    local late = fl.deadline ~= '' and t > tonumber(fl.deadline)
    if j[1] and not FINAL[j[1]] and not late then
      if fl.u == '' or redis.call('EXISTS', prefix .. 'f:' .. fl.u) == 1 then return false end
    end
    local top = fl.u == ''
    if top and j[1] then keep_state(prefix, fl, keep) end
    forget_flow(prefix, fl)
    if top and j[1] and not FINAL[j[1]] then
      local ended, from = ended_of(fl), nil
      for position = 0, fl.n do
        if position < fl.n and not ended[position] then
          from = from or position
        elseif from then
          expire_calls(fl.jk, fl.base + from, position - from, t, keep)
          from = nil
        end
      end
    end
    if j[1] and not FINAL[j[1]] then end_run(prefix, fl.jk, t, keep) end
    return true
  end

  -- Of a flow nothing can come any more.
  local function fail_run(prefix, id, why, t, keep)
    guarded(function()
      local jk = job_keys(prefix, run_of(id))
      local state = redis.call('HGET', jk.job, 'state')
      if not state or FINAL[state] then return end
      redis.call('HSET', jk.job, 'error', 'the record of flow ' .. id .. ' was ' .. why)
      end_job(jk, 'failed', t, keep)
      redis.call('PUBLISH', jk.channel, 'failed')
    end)
  end

  -- There is no record of a flow. If its run knows nothing of its end, somebody else has removed it.
  local function miss_flow(prefix, id, t, keep)
    local rk = run_keys(prefix, run_of(id))
    if redis.pcall('SISMEMBER', rk.flows, id) == 1 then
      fail_run(prefix, id, 'lost', t, keep)
      redis.call('SREM', rk.flows, id)
    end
    redis.call('ZREM', prefix .. 'open', '>' .. id)
    redis.call('ZREM', prefix .. 'ready', id)
  end

  -- Takes a flow that cannot be believed out of the way, kept for somebody to look at; its run fails.
  local function set_flow_aside(prefix, id, t, keep)
    local run = run_of(id)
    local counted = redis.pcall('HMGET', prefix .. 'f:' .. id, 'pc', 'sz')
    if not counted.err and natural(counted[1]) and natural(counted[2]) and redis.call('ZSCORE', prefix .. 'open', '>' .. id) then
      pend(prefix, -counted[1], -counted[2])
    end
    redis.call('ZREM', prefix .. 'open', '>' .. id)
    redis.call('ZREM', prefix .. 'ready', id)
    redis.pcall('SREM', run_keys(prefix, run).flows, id)
    redis.call('ZADD', prefix .. 'broken', t, '>' .. id)
    redis.call('PEXPIRE', prefix .. 'f:' .. id, keep.err)
    fail_run(prefix, id, 'damaged', t, keep)
  end

  -- Whether the inner job of the flow's stage is still on its way.
  local function inner_runs(prefix, fl)
    if not fl.inner or fl.inner == '' then return false end
    local state = redis.call('HGET', prefix .. 'j:' .. fl.inner, 'state')
    return state and not FINAL[state]
  end

  -- Counts anew what a flow waits for: a member that cannot end any more must not be waited for.
  local function count_members(prefix, fl)
    local left = 0
    for m = 0, fl.fm - 1 do
      local member = redis.pcall('HMGET', fl.key .. '/' .. fl.fs .. '.' .. m, 'u', 'at')
      if not member.err and member[1] == fl.id and member[2] ~= 'end' then left = left + 1 end
    end
    if left ~= fl.m then redis.call('HSET', fl.key, 'm', left) end
    fl.m = left
  end

  -- Looks at a flow whose time has come; the flow, when its doorbell is to be rung. After `grace` it comes up again,
  -- after `longest` at the latest.
  local function look_at_flow(prefix, id, t, keep, grace, longest)
    redis.call('ZREM', prefix .. 'ready', id)
    local fl, why = read_flow(prefix, id)
    if why == 'damaged' then return set_flow_aside(prefix, id, t, keep) end
    if not fl then return miss_flow(prefix, id, t, keep) end
    if fl.l > t and not FINAL[redis.call('HGET', fl.jk.job, 'state') or 'cancelled'] then
      redis.call('ZADD', prefix .. 'open', fl.l, fl.name)
      return nil
    end
    if close_flow(prefix, fl, t, keep) then return nil end
    if fl.u ~= '' then redis.call('PEXPIRE', fl.key, VALUES_MS) end
    local look = t + LONG_LOOK_MS
    if fl.m > 0 then count_members(prefix, fl) end
    local waits = fl.m > 0 or inner_runs(prefix, fl)
    if fl.at == 'end' then return redis.call('ZREM', prefix .. 'open', fl.name) and nil end
    if not waits then
      local k = redis.call('HINCRBY', fl.key, 'k', 1)
      look = t + math.min(longest, grace * 2 ^ math.min(k - 1, 10))
    end
    if fl.deadline ~= '' then look = math.min(look, tonumber(fl.deadline) + 1) end
    redis.call('ZADD', prefix .. 'open', look, fl.name)
    if waits then return nil end
    return fl
  end

  local function ring_flow(prefix, fl, rings, t)
    redis.call('HSET', fl.key, 'r', t)
    for _, value in ipairs({fl.name, fl.q, fl.lb, fl.n, fl.at}) do rings[#rings + 1] = value end
  end

  -- Whether a flow's holder may add an inner job to its stage: '' or why not.
  local function may_add_inner(prefix, jk, sent)
    local fl = read_flow(prefix, sent.flow)
    if not fl or fl.at ~= sent.stage or fl.f ~= sent.fence then return 'lost' end
    if jk.id ~= fl.id .. ':' .. fl.at and not string.find(jk.id, fl.id .. ':' .. fl.at .. '-', 1, true) then return 'lost' end
    local state = redis.call('HGET', fl.jk.job, 'state')
    if not state or FINAL[state] then return 'lost' end
    return ''
  end

  -- An inner job was accepted: its flow waits for it, and its run ends it.
  local function add_inner(prefix, jk, sent)
    local key = prefix .. 'f:' .. sent.flow
    local ins = redis.call('HGET', key, 'ins') or ''
    redis.call('HSET', key, 'in', jk.id, 'ins', ins == '' and jk.id or ins .. ' ' .. jk.id)
    redis.call('HSET', jk.job, 'parent', sent.flow)
    redis.call('SADD', run_keys(prefix, run_of(sent.flow)).inner, jk.id)
  end

  -- An inner job has ended, so that its flow may go on. It goes when its flow does.
  local function inner_ended(jk, flow, t)
    for _, key in ipairs({jk.job, jk.ok, jk.err, jk.out}) do redis.call('PEXPIRE', key, VALUES_MS) end
    redis.call('DEL', jk.run, jk.headers)
    local v = redis.pcall('HMGET', jk.prefix .. 'f:' .. flow, 'in', 'l')
    -- Who holds the flow looks by itself before it lets go.
    if not v.err and v[1] == jk.id and (tonumber(v[2]) or 0) <= t then due_flow(jk.prefix, flow, t) end
  end

  -- Of a run that ends before its flows nothing goes on.
  local function run_ended(jk, t, keep)
    local prefix, rk = jk.prefix, run_keys(jk.prefix, jk.id)
    for _, id in ipairs(redis.call('SMEMBERS', rk.inner)) do drop_job(prefix, id) end
    local keys, names, gone, left = {}, {}, {}, false
    for _, id in ipairs(redis.call('SMEMBERS', rk.flows)) do
      if string.match(id, '^[^/]*/%d+$') then
        left = true
        redis.call('ZADD', prefix .. 'open', t, '>' .. id)
        redis.call('ZADD', prefix .. 'ready', t, id)
      else
        keys[#keys + 1], names[#names + 1], gone[#gone + 1] = prefix .. 'f:' .. id, '>' .. id, id
      end
    end
    in_pieces(keys, 'UNLINK')
    in_pieces(names, 'ZREM', prefix .. 'open')
    -- The run's own are in the set until each is closed, which says that all of them can be resumed.
    in_pieces(gone, 'SREM', rk.flows)
    if left then wake_dispatchers(prefix) end
    redis.call('DEL', rk.inner)
    redis.call('PEXPIRE', rk.flows, keep.err)
    local longer = math.max(keep.ok, keep.err)
    for _, key in ipairs({rk.plan, rk.steps, rk.after}) do redis.call('PEXPIRE', key, longer) end
    redis.call('PEXPIRE', rk.resume, keep.err)
  end

  return {LONG_LOOK_MS = LONG_LOOK_MS, run_of = run_of, run_keys = run_keys, stage_rank = stage_rank,
    read_flow = read_flow, drop_inner = drop_inner, in_pieces = in_pieces, drop_members = drop_members,
    due_flow = due_flow, end_run = end_run, forget_flow = forget_flow, ended_of = ended_of, close_flow = close_flow,
    set_flow_aside = set_flow_aside, miss_flow = miss_flow, inner_runs = inner_runs, look_at_flow = look_at_flow,
    ring_flow = ring_flow, may_add_inner = may_add_inner, add_inner = add_inner, inner_ended = inner_ended,
    run_ended = run_ended}
end

-- What end_job (jobs.lua) calls.
end_of_inner = function(jk, flow, t) return flows().inner_ended(jk, flow, t) end
end_of_run = function(jk, t, keep) return flows().run_ended(jk, t, keep) end
