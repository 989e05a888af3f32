-- FLUSH: calls that wait to be batched leave now.
--
-- ARGV 1 prefix 2 beginning of the buffers' names
-- Returns how many calls were waiting in them
local t = now_ms()
local prefix, count = ARGV[1], 0
for _, buffer in ipairs(redis.call('ZRANGEBYLEX', prefix .. 'buffers', '[' .. ARGV[2], '(' .. ARGV[2] .. '\255')) do
  local s = redis.call('HMGET', prefix .. 'qs:' .. buffer, 'n', 'st', 'into')
  if s[1] and (s[3] or '') == '' then
    -- One that is in line already has calls whose time would not have come.
    if s[2] == '' then redis.call('ZADD', prefix .. 'due', 'LT', t, buffer) end
    redis.call('HSET', prefix .. 'qs:' .. buffer, 'flush', s[1])
    count = count + tonumber(s[1])
  end
end
if count > 0 then wake_dispatchers(prefix) end
return count
