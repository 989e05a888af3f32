-- SEAL: the input has ended. What was accepted is all there will be.
--
-- ARGV 1 prefix 2 job 3 error ('' = the input ended well) 4 keep ok ms 5 keep err ms
-- Returns the job's state, or '' when there is no such job.
local jk = job_keys(ARGV[1], ARGV[2])
local t = now_ms()
local j = redis.call('HMGET', jk.job, 'accepted', 'state', 'total', 'pipeline')
if not j[1] then return '' end
if FINAL[j[2]] then return j[2] end
if j[3] == '' then redis.call('HSET', jk.job, 'total', j[1], 'error', ARGV[3]) end
local keep = {ok = tonumber(ARGV[4]), err = tonumber(ARGV[5])}
if j[4] then flows().end_run(ARGV[1], jk, t, keep) else end_job_if_complete(jk, t, keep) end
redis.call('PUBLISH', jk.channel, 'sealed')
return redis.call('HGET', jk.job, 'state')
