-- SUBMIT: accepts one batch of calls; creates its job with the first one. Accepting is all there is to a
-- submit: the doorbell that follows may be lost.
--
-- KEYS 1 open   sorted set, batch → next look
--      2 jobs   sorted set, job → created
--      3 costs  hash, digest:tool → µs
--      4 version  the catalog's counter
--      5 idem   string "job|params digest" (only touched when ARGV has a digest)
-- j:{job}: jobs.lua; b:{batch}: batches.lua
-- ARGV 1 prefix 2 job 3 batch 4 base 5 n 6 header 7 calls 8 queue 9 tool 10 digest 11 tenant 12 once
--      13 deadline (ms from now or '') 14 total ('' = not known yet) 15 single 16 grace ms
--      17 params digest of the idempotency key ('' = none) 18 keep ok ms 19 keep err ms
--      20 calls of all at most 21 bytes of all at most 22 policy 23 bytes of params, large values included
--      24 flow for whose stage 25 these calls are an inner job ('' = they are none), and 26 its fence
-- Returns {word, job, cost, finished, version, state, what, ms}; word: ok again first conflict gap closed
--         lost (the flow went on, or its run has ended)
--         overloaded (what is full, after how many ms to try again)
--         limited (the operator limits this tool or tenant: ENQUEUE the calls)
local t = now_ms()
local prefix = ARGV[1]
local jk = job_keys(prefix, ARGV[2])
local sent = {tool = ARGV[9], tenant = ARGV[11], digest = ARGV[10], queue = ARGV[8], single = ARGV[15],
  total = ARGV[14], deadline = ARGV[13], idem = ARGV[17], idem_key = KEYS[5]}

local base, n = tonumber(ARGV[4]), tonumber(ARGV[5])
if n < 1 or n > MAX_CALLS then return redis.error_reply('SUBMIT of ' .. n .. ' calls: 1 to ' .. MAX_CALLS) end
local what, wait_ms
local word, id = may_accept(jk, sent, base)
if ARGV[24] ~= '' then
  sent.flow, sent.stage, sent.fence = ARGV[24], ARGV[25], ARGV[26]
  local why = flows().may_add_inner(prefix, jk, sent)
  if why ~= '' then word = why end
end
if word == 'new' or word == 'next' then
  -- What a run needs to go on is never refused: that would keep it from becoming less.
  if not sent.flow then
    what, wait_ms = overloaded(prefix, n, tonumber(ARGV[23]), tonumber(ARGV[20]), tonumber(ARGV[21]))
  end
  if what then
    word = 'overloaded'
  elseif #add_standing_keys(prefix, {}, sent.tool, sent.tenant) > 0 then
    word = 'limited'
  else
    local deadline = accept(jk, sent, word, n, KEYS[2], t)
    if sent.flow then flows().add_inner(prefix, jk, sent) end
    local now = redis.call('TIME')
    local place = string.format('%.0f', now[1] * 1000000 + now[2])
    redis.call('HSET', prefix .. 'b:' .. ARGV[3], 'n', n, 'base', base, 'd', 0, 'f', 0, 'l', 0, 'w', '',
      'x', 0, 'a', 0, 'careful', ARGV[12], 'once', ARGV[12], 'created', t, 'k', 0, 'r', t, 'queue', ARGV[8],
      'tool', ARGV[9], 'tenant', ARGV[11], 'policy', ARGV[22], 'sz', ARGV[23], 'p', place, 'h', ARGV[6], 'c', ARGV[7])
    local look = t + tonumber(ARGV[16])
    if deadline ~= '' then look = math.min(look, tonumber(deadline) + 1) end
    redis.call('ZADD', KEYS[1], look, ARGV[3])
    redis.call('ZADD', waiting_key(prefix, ARGV[8]), place, ARGV[3])
    pend(prefix, n, tonumber(ARGV[23]))
    word = 'ok'
  end
end
return accept_answer(prefix, word, id, KEYS[3], KEYS[4], sent, what, wait_ms)
