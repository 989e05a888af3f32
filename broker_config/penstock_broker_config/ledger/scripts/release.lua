-- RELEASE: gives a lease back before the batch is finished (a worker that stops). Nobody is charged.
--
-- KEYS 1 open  sorted set, batch → next look
-- ARGV 1 prefix 2 job 3 batch 4 fence
-- Returns 'ok' | 'lost'
local bkey = ARGV[1] .. 'b:' .. ARGV[3]
if redis.call('HGET', bkey, 'f') ~= ARGV[4] then return 'lost' end
redis.call('HSET', bkey, 'l', 0, 'w', '')
redis.call('HINCRBY', bkey, 'f', 1)  -- whoever gave it back cannot commit any more
redis.call('HDEL', job_keys(ARGV[1], ARGV[2]).run, ARGV[3])
redis.call('ZADD', KEYS[1], now_ms(), ARGV[3])
return 'ok'
