-- CANCEL: ends a job now. Calls that run are stopped by their holders, who are told; calls that wait are
-- never started, since every claim reads the job's state first. What was recorded stays.
--
-- ARGV 1 prefix 2 job 3 keep ok ms 4 keep err ms
-- Returns 1 when this call cancelled it, 0 when it had ended before, -1 when there is no such job.
local jk = job_keys(ARGV[1], ARGV[2])
local state = redis.call('HGET', jk.job, 'state')
if not state then return -1 end
if FINAL[state] then return 0 end
local holders = redis.call('HGETALL', jk.run)
end_job(jk, 'cancelled', now_ms(), {ok = tonumber(ARGV[3]), err = tonumber(ARGV[4])})
redis.call('ZREM', ARGV[1] .. 'late', ARGV[2])
tell_holders(ARGV[1], ARGV[2], holders)
redis.call('PUBLISH', jk.channel, 'cancelled')
return 1
