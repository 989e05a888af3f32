-- TAKE CANVAS: gives one process the right to go on with what waits for a run.
--
-- KEYS 1 j:{run}:after  string, what waits; gone when all has been sent  2 j:{run}:turn  string, somebody goes on
-- ARGV 1 ms that it has for it
-- Returns 1 when it is the caller's turn.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
return redis.call('SET', KEYS[2], 1, 'NX', 'PX', ARGV[1]) and 1 or 0
