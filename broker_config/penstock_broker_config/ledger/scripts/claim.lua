-- CLAIM: takes the lease of a batch, if it may be run now. The fence that it returns is what every later
-- commit must show. Whoever held the lease before and did not come back is charged here.
--
-- KEYS 1 open  sorted set, batch → next look
--      2 dead  sorted set, call → set aside at
-- b:{batch}, j:{job}…  as in submit.lua
-- dead:{call}   hash: call job index tool digest header params mac attempts at
-- ARGV 1 prefix 2 job 3 batch 4 holder 5 lease ms 6 max attempts 7 holder known to be dead ('' = none)
--      8 keep ok ms 9 keep err ms 10 record of an interrupted call 11 record of a quarantined call
-- Returns {'gone'} | {'held', holder} |
--         {'granted', fence, header, calls, n, recorded, attempts, careful, now, created, deadline}
local t = now_ms()
local prefix, id, holder = ARGV[1], ARGV[3], ARGV[4]
local jk = job_keys(prefix, ARGV[2])
local bkey = prefix .. 'b:' .. id
local keep = {ok = tonumber(ARGV[8]), err = tonumber(ARGV[9])}

local b, why = read_batch(bkey)
if why == 'gone' then
  redis.call('ZREM', KEYS[1], id)
  return {'gone'}
elseif not b then
  set_aside(prefix, KEYS[1], id, jk, t, keep)
  return {'gone'}
end
local j = redis.call('HMGET', jk.job, 'state', 'deadline')
if not j[1] or FINAL[j[1]] then
  forget_batch(prefix, KEYS[1], id, jk)
  return {'gone'}
end
local n, base, d = b.n, b.base, b.d
local before = b.w
if b.l > t and before ~= holder and before ~= ARGV[7] then return {'held', before} end
if j[2] ~= '' and t > tonumber(j[2]) then
  expire_batch(prefix, KEYS[1], id, jk, base + d, n - d, t, keep)
  return {'gone'}
end

local x, a, careful = b.x, b.a, b.careful
if before ~= '' and before ~= holder then
  -- Its holder was lost. In a careful batch we know which call had been started: the next unrecorded one.
  if careful == '1' then a = a + 1 else x = x + 1; careful = '1' end
  local ends = nil
  if b.once == '1' then ends = ARGV[10] elseif x + a >= tonumber(ARGV[6]) then ends = ARGV[11] end
  if ends then
    local index = base + d
    redis.call('HSET', jk.err, index, ends)
    redis.call('XADD', jk.out, '*', 'i', index .. '-' .. index)
    redis.call('HINCRBY', jk.job, 'failed', 1)
    if b.once ~= '1' then
      local more = redis.call('HMGET', bkey, 'c', 'h', 'tool')
      local call = ARGV[2] .. '.' .. index
      local entry = cjson.decode(more[1])[d + 1]
      redis.call('ZADD', KEYS[2], t, call)
      redis.call('HSET', prefix .. 'dead:' .. call, 'call', call, 'job', ARGV[2], 'index', index, 'tool', more[3],
        'header', more[2], 'params', entry[2], 'mac', entry[3], 'attempts', x + a, 'at', t, 'holder', before)
      redis.call('PEXPIRE', prefix .. 'dead:' .. call, keep.err)
    end
    d = d + 1
    a = 0
    redis.call('PUBLISH', jk.channel, 'recorded')
    if d == n then
      forget_batch(prefix, KEYS[1], id, jk)
      end_job_if_complete(jk, t, keep)
      return {'gone'}
    end
  end
end

local fence = redis.call('HINCRBY', bkey, 'f', 1)
local lease = t + tonumber(ARGV[5])
redis.call('HSET', bkey, 'l', lease, 'w', holder, 'd', d, 'x', x, 'a', a, 'careful', careful)
redis.call('ZADD', KEYS[1], lease, id)
redis.call('HSET', jk.run, id, holder)
if j[1] == 'queued' then redis.call('HSET', jk.job, 'state', 'running', 'started', t) end
local load = redis.call('HMGET', bkey, 'h', 'c')
return {'granted', fence, load[1], load[2], n, d, x + a, careful, t, b.created, j[2]}
