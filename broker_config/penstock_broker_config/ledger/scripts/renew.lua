-- RENEW: keeps a lease while a call takes long. Also how a holder learns of a cancel that it did not hear.
--
-- KEYS 1 open  sorted set, batch → next look
-- ARGV 1 prefix 2 job 3 batch 4 fence 5 lease ms
-- Returns 'ok' | 'stopped' (cancelled or expired) | 'lost'
local t = now_ms()
local bkey = ARGV[1] .. 'b:' .. ARGV[3]
local fence = redis.call('HGET', bkey, 'f')
if not fence then
  local state = redis.call('HGET', job_keys(ARGV[1], ARGV[2]).job, 'state')
  return (state == 'cancelled' or state == 'expired') and 'stopped' or 'lost'
end
if fence ~= ARGV[4] then return 'lost' end
if FINAL[redis.call('HGET', job_keys(ARGV[1], ARGV[2]).job, 'state') or 'cancelled'] then return 'stopped' end
local lease = t + tonumber(ARGV[5])
redis.call('HSET', bkey, 'l', lease)
redis.call('ZADD', KEYS[1], lease, ARGV[3])
return 'ok'
