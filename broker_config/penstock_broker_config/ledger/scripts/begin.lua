-- BEGIN: accepts items of a run; they begin as one flow. Like SUBMIT it creates the run with the first of them, and
-- accepting is all there is to it.
--
-- KEYS 1 open 2 jobs 3 costs 4 version 5 idem: as for SUBMIT
-- j:{run}: jobs.lua; f:{flow}, j:{run}:plan: flows.lua
-- ARGV 1 prefix 2 run 3 base 4 n 5 items (sealed) 6 program 7 stage 8 queue 9 label 10 pipeline 11 digest
--      12 tenant 13 deadline (ms from now or '') 14 total ('' = not known yet) 15 single 16 grace ms
--      17 params digest of the idempotency key ('' = none) 18 keep ok ms 19 keep err ms
--      20 items of all at most 21 bytes of all at most 22 bytes of inputs, large values included
--      23 plan ('' = the run has it) 24 digests of its bundles 25 the run's queue
-- Returns {word, job, cost, finished, version, state, what, ms}; word: ok again first conflict gap closed
--         overloaded
local t, F = now_ms(), flows()
local prefix = ARGV[1]
local jk, rk = job_keys(prefix, ARGV[2]), F.run_keys(prefix, ARGV[2])
local sent = {tool = ARGV[10], tenant = ARGV[12], digest = ARGV[11], queue = ARGV[25], single = ARGV[15],
  total = ARGV[14], deadline = ARGV[13], idem = ARGV[17], idem_key = KEYS[5]}

local base, n, size = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[22])
if n < 1 or n > MAX_CALLS then return redis.error_reply('BEGIN of ' .. n .. ' items: 1 to ' .. MAX_CALLS) end
local what, wait_ms
local word, id = may_accept(jk, sent, base)
if word == 'new' or word == 'next' then
  what, wait_ms = overloaded(prefix, n, size, tonumber(ARGV[20]), tonumber(ARGV[21]))
  if what then
    word = 'overloaded'
  elseif ARGV[23] == '' and redis.call('EXISTS', rk.plan) == 0 then
    return redis.error_reply('BEGIN without a plan')
  else
    local deadline = accept(jk, sent, word, n, KEYS[2], t)
    if word == 'new' then redis.call('HSET', jk.job, 'pipeline', 1, 'digests', ARGV[24]) end
    if ARGV[23] ~= '' then redis.call('SET', rk.plan, ARGV[23], 'NX') end
    local flow = jk.id .. '/' .. base
    redis.call('HSET', prefix .. 'f:' .. flow, 'run', jk.id, 'u', '', 'p', ARGV[6], 'n', n, 'base', base, 'at', ARGV[7],
      'q', ARGV[8], 'lb', ARGV[9], 's', ARGV[5], 'z', '', 'f', 0, 'l', 0, 'w', '', 'x', 0, 'ent', 0, 'pv', '', 'pf', 0,
      'm', 0, 'pc', n, 'sz', size, 'created', t, 'k', 0, 'r', t)
    local look = t + tonumber(ARGV[16])
    if deadline ~= '' then look = math.min(look, tonumber(deadline) + 1) end
    redis.call('ZADD', KEYS[1], look, '>' .. flow)
    redis.call('SADD', rk.flows, flow)
    pend(prefix, n, size)
    word = 'ok'
  end
end
return accept_answer(prefix, word, id, KEYS[3], KEYS[4], sent, what, wait_ms)
