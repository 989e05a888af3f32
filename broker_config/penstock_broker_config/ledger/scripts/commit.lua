-- COMMIT: records the results of the next calls of a batch, in order, all or none, and keeps the lease. What
-- is recorded is never overwritten: only the current fence may commit, and only from where the record ends
-- (the same commit sent twice records once).
--
-- KEYS 1 open   sorted set, batch → next look
--      2 costs  hash, digest:tool → µs
-- b:{batch}, j:{job}…  as in submit.lua
-- ARGV 1 prefix 2 job 3 batch 4 fence 5 position of the first record in the batch 6 lease ms
--      7 keep ok ms 8 keep err ms 9 cost field 10 measured µs per call ('' = not measured)
--      11 one letter a record: s success, f failure   12… the records
-- Returns 'ok' | 'finished' | 'stopped' | 'lost'
local t = now_ms()
local prefix, id = ARGV[1], ARGV[3]
local jk = job_keys(prefix, ARGV[2])
local bkey = prefix .. 'b:' .. id
local keep = {ok = tonumber(ARGV[7]), err = tonumber(ARGV[8])}

local state = redis.call('HGET', jk.job, 'state')
local b = redis.call('HMGET', bkey, 'f', 'd', 'n', 'base')
if not state or FINAL[state] then
  if b[1] then forget_batch(prefix, KEYS[1], id, jk) end
  -- A finished job means that this batch was recorded: the first answer got lost on its way.
  if state == 'cancelled' or state == 'expired' then return 'stopped' end
  return 'lost'
end
if not b[1] or b[1] ~= ARGV[4] then return 'lost' end

local d, n, base = tonumber(b[2]), tonumber(b[3]), tonumber(b[4])
local from, count = tonumber(ARGV[5]), #ARGV - 11
local oks, errs, done, failed = {}, {}, 0, 0
for k = d - from + 1, count do
  local into = errs
  if string.sub(ARGV[11], k, k) == 's' then into = oks; done = done + 1 else failed = failed + 1 end
  into[#into + 1] = base + from + k - 1
  into[#into + 1] = ARGV[11 + k]
end
if from > d or from + count > n then return redis.error_reply('COMMIT out of order') end
if done + failed > 0 then
  if done > 0 then redis.call('HSET', jk.ok, unpack(oks)); redis.call('HINCRBY', jk.job, 'done', done) end
  if failed > 0 then redis.call('HSET', jk.err, unpack(errs)); redis.call('HINCRBY', jk.job, 'failed', failed) end
  redis.call('XADD', jk.out, '*', 'i', (base + d) .. '-' .. (base + from + count - 1))
  d = from + count
end
if ARGV[10] ~= '' then
  local old = redis.call('HGET', KEYS[2], ARGV[9])
  local cost = tonumber(ARGV[10])
  if old then cost = 0.7 * tonumber(old) + 0.3 * cost end
  redis.call('HSET', KEYS[2], ARGV[9], string.format('%.1f', cost))
end
if d == n then
  forget_batch(prefix, KEYS[1], id, jk)
  end_job_if_complete(jk, t, keep)
  redis.call('PUBLISH', jk.channel, 'recorded')
  return 'finished'
end
local lease = t + tonumber(ARGV[6])
redis.call('HSET', bkey, 'd', d, 'a', 0, 'l', lease)
redis.call('ZADD', KEYS[1], lease, id)
redis.call('PUBLISH', jk.channel, 'recorded')
return 'ok'
