-- RELEASE: gives a lease back before the batch is finished (a worker that stops). Nobody is charged.
--
-- KEYS 1 open  sorted set, batch → next look
-- ARGV 1 prefix 2 batch 3 fence
-- Returns 'ok' | 'lost'
local t = now_ms()
local b = read_batch(ARGV[1], ARGV[2])
if not b or b.f ~= ARGV[3] then return 'lost' end
local bkey = ARGV[1] .. 'b:' .. b.id
redis.call('HSET', bkey, 'l', 0, 'w', '')
redis.call('HINCRBY', bkey, 'f', 1)  -- whoever gave it back cannot commit any more
if b.owners then
  for _, jk in ipairs(owners_of(b)) do redis.call('HDEL', jk.run, b.id) end
else
  redis.call('HDEL', b.jk.run, b.id)
  if #b.keys == 0 then
    redis.call('ZADD', waiting_key(ARGV[1], b.queue), redis.call('HGET', bkey, 'p') or 0, b.id)  -- where it was
  end
end
leave_line(ARGV[1], b, t)
redis.call('ZADD', KEYS[1], t, b.id)
return 'ok'
