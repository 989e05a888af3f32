-- OPEN: creates a job that has no calls yet, so that a map over an empty input is a job like any other and
-- a feeder's first batch finds its job.
--
-- KEYS 1 jobs  sorted set, job → created
-- ARGV 1 prefix 2 job 3 tool 4 digest 5 tenant 6 queue 7 deadline (ms from now or '')
-- Returns 1 when it was created, 0 when it was there.
local jk = job_keys(ARGV[1], ARGV[2])
if redis.call('EXISTS', jk.job) == 1 then return 0 end
local t = now_ms()
redis.call('HSET', jk.job, 'tool', ARGV[3], 'tenant', ARGV[5], 'digest', ARGV[4], 'queue', ARGV[6],
  'state', 'queued', 'single', '0', 'accepted', 0, 'done', 0, 'failed', 0, 'expired', 0, 'total', '',
  'created', t, 'deadline', ARGV[7] ~= '' and string.format('%.0f', t + tonumber(ARGV[7])) or '', 'status', '',
  'error', '', 'idem', '')
redis.call('ZADD', KEYS[1], t, ARGV[2])
return 1
