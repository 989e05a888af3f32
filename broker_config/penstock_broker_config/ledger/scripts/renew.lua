-- RENEW: keeps the lease of a batch, or of a flow (as >FLOW), while a call takes long. Also how a holder learns of a
-- cancel that it did not hear.
--
-- KEYS 1 open  sorted set, batch → next look
-- ARGV 1 prefix 2 batch 3 fence 4 lease ms 5 position of the call that runs ('' = none)
-- Returns 'ok' | 'stopped' (cancelled or expired) | 'skip' (the job of that call has ended, others go on) |
--         'lost'
local t = now_ms()
local id = ARGV[2]
if string.sub(id, 1, 1) == '>' then
  local F = flows()
  local fl = F.read_flow(ARGV[1], string.sub(id, 2))
  local state = redis.call('HGET', job_keys(ARGV[1], F.run_of(string.sub(id, 2))).job, 'state')
  if FINAL[state or 'cancelled'] then return 'stopped' end
  if not fl or fl.f ~= ARGV[3] then return 'lost' end
  redis.call('HSET', fl.key, 'l', t + tonumber(ARGV[4]))
  redis.call('ZADD', KEYS[1], t + tonumber(ARGV[4]), id)
  return 'ok'
end
local b = read_batch(ARGV[1], id)
if not b then
  local state = redis.call('HGET', job_keys(ARGV[1], string.match(id, '^(.*)%.%d+$') or id).job, 'state')
  return (state == 'cancelled' or state == 'expired') and 'stopped' or 'lost'
end
if b.f ~= ARGV[3] then return 'lost' end
local function over(jk) return FINAL[redis.call('HGET', jk.job, 'state') or 'cancelled'] end
if not b.owners and over(b.jk) then return 'stopped' end
local lease = t + tonumber(ARGV[4])
if #b.keys > 0 and not keep_slots(ARGV[1], b, t, lease) then
  redis.call('HINCRBY', ARGV[1] .. 'b:' .. id, 'f', 1)
  redis.call('HSET', ARGV[1] .. 'b:' .. id, 'l', 0, 'w', '')
  redis.call('ZADD', KEYS[1], t, id)
  return 'lost'
end
redis.call('HSET', ARGV[1] .. 'b:' .. id, 'l', lease)
redis.call('ZADD', KEYS[1], lease, id)
if b.owners then
  redis.call('ZADD', ARGV[1] .. 'busy:' .. b.queue, lease, id)
  local position = tonumber(ARGV[5])
  if position and position < b.n and over((owner(b, position))) then return 'skip' end
end
return 'ok'
