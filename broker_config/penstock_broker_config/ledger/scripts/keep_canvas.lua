-- KEEP CANVAS: keeps what is to be sent when a run has ended, before the run begins.
--
-- KEYS 1 canvases  sorted set, run → when to look
-- j:{run}:after  string, the message (sealed)
-- ARGV 1 prefix 2 run 3 message 4 ms from now to look
-- Returns 1, or nothing when the run is there: its message was kept when it began.
if redis.call('EXISTS', ARGV[1] .. 'j:' .. ARGV[2]) == 1 then return 0 end
redis.call('SET', ARGV[1] .. 'j:' .. ARGV[2] .. ':after', ARGV[3], 'PX', VALUES_MS)
redis.call('ZADD', KEYS[1], now_ms() + tonumber(ARGV[4]), ARGV[2])
return 1
