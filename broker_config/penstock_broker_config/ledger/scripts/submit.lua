-- SUBMIT: accepts one batch of calls; creates its job with the first one. Accepting is all there is to a
-- submit: the doorbell that follows may be lost.
--
-- KEYS 1 open   sorted set, batch → next look
--      2 jobs   sorted set, job → created
--      3 costs  hash, digest:tool → µs
--      4 version  the catalog's counter
--      5 idem   string "job|params digest" (only touched when ARGV has a digest)
-- j:{job}       hash: tool tenant digest queue state single accepted done failed expired total created
--               started finished deadline status error idem
-- b:{batch}     hash: n calls, base first index, d recorded so far, f fence, l lease until, w holder,
--               x losses nobody is charged with, a losses charged to the next call, careful, once,
--               created, k rings, r last ring, queue tool h header, c calls
-- ARGV 1 prefix 2 job 3 batch 4 base 5 n 6 header 7 calls 8 queue 9 tool 10 digest 11 tenant 12 once
--      13 deadline (ms from now or '') 14 total ('' = not known yet) 15 single 16 grace ms
--      17 params digest of the idempotency key ('' = none) 18 keep ok ms 19 keep err ms
-- Returns {word, job, cost, finished, version, state}; word: ok again first conflict gap closed
local t = now_ms()
local jk = job_keys(ARGV[1], ARGV[2])
local cost = redis.call('HGET', KEYS[3], ARGV[10] .. ':' .. ARGV[9]) or ''
local version = redis.call('GET', KEYS[4]) or '0'

local function answer(word, id)
  local j = redis.call('HMGET', ARGV[1] .. 'j:' .. id, 'done', 'failed', 'expired', 'state')
  local finished = tonumber(j[1] or 0) + tonumber(j[2] or 0) + tonumber(j[3] or 0)
  return {word, id, cost, finished, version, j[4] or 'queued'}
end

if ARGV[17] ~= '' then
  local first = redis.call('GET', KEYS[5])
  if first then
    local bar = string.find(first, '|', 1, true)
    local id, digest = string.sub(first, 1, bar - 1), string.sub(first, bar + 1)
    if digest ~= ARGV[17] then return answer('conflict', id) end
    if id ~= ARGV[2] then return answer('first', id) end
  end
end

local base, n = tonumber(ARGV[4]), tonumber(ARGV[5])
if n < 1 or n > MAX_CALLS then return redis.error_reply('SUBMIT of ' .. n .. ' calls: 1 to ' .. MAX_CALLS) end
local j = redis.call('HMGET', jk.job, 'accepted', 'state', 'deadline', 'total')
local deadline = j[3]
if not j[1] then
  if base ~= 0 then return answer('gap', ARGV[2]) end
  deadline = ARGV[13] ~= '' and tostring(t + tonumber(ARGV[13])) or ''
  redis.call('HSET', jk.job, 'tool', ARGV[9], 'tenant', ARGV[11], 'digest', ARGV[10], 'queue', ARGV[8],
    'state', 'queued', 'single', ARGV[15], 'accepted', 0, 'done', 0, 'failed', 0, 'expired', 0,
    'total', ARGV[14], 'created', t, 'deadline', deadline, 'status', '', 'error', '',
    'idem', ARGV[17] ~= '' and KEYS[5] or '')
  redis.call('ZADD', KEYS[2], t, ARGV[2])
  if ARGV[17] ~= '' then redis.call('SET', KEYS[5], ARGV[2] .. '|' .. ARGV[17]) end
else
  local accepted = tonumber(j[1])
  if base < accepted then return answer('again', ARGV[2]) end
  if FINAL[j[2]] or j[4] ~= '' then return answer('closed', ARGV[2]) end
  if base > accepted then return answer('gap', ARGV[2]) end
end

redis.call('HSET', ARGV[1] .. 'b:' .. ARGV[3], 'n', n, 'base', base, 'd', 0, 'f', 0, 'l', 0, 'w', '',
  'x', 0, 'a', 0, 'careful', ARGV[12], 'once', ARGV[12], 'created', t, 'k', 0, 'r', t,
  'queue', ARGV[8], 'tool', ARGV[9], 'h', ARGV[6], 'c', ARGV[7])
redis.call('HINCRBY', jk.job, 'accepted', n)
local look = t + tonumber(ARGV[16])
if deadline and deadline ~= '' then look = math.min(look, tonumber(deadline) + 1) end
redis.call('ZADD', KEYS[1], look, ARGV[3])
return answer('ok', ARGV[2])
