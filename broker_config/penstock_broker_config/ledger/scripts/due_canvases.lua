-- DUE CANVASES: which runs have ended, or have never begun, while a canvas still waits for them.
--
-- KEYS 1 canvases  sorted set, run → when to look
-- j:{run}  jobs.lua   j:{run}:after  string, the message (sealed)
-- ARGV 1 prefix 2 how many at most 3 ms that whoever ended a run has for going on by himself
-- Returns run, message, run, message, …; each comes up again.
local LONGEST_MS = 60000
local t, grace, found = now_ms(), tonumber(ARGV[3]), {}
for _, run in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', t, 'BYSCORE', 'LIMIT', 0, ARGV[2])) do
  local j = ARGV[1] .. 'j:' .. run
  local after = redis.call('GET', j .. ':after')
  if not after then
    redis.call('ZREM', KEYS[1], run)
  else
    local v = redis.call('HMGET', j, 'state', 'created', 'finished')
    local final = v[1] and FINAL[v[1]]
    local since = t - (tonumber(v[final and 3 or 2] or '') or t)
    local early = final and since < grace
    redis.call('ZADD', KEYS[1], early and t + grace - since or t + math.min(LONGEST_MS, math.max(grace, since / 2)), run)
    if (final or not v[1]) and not early then
      found[#found + 1] = run
      found[#found + 1] = after
    end
  end
end
return found
