-- PLANT: members of a fan-out, which begin when the flow advances (advance.lua) and not before. Planting them again
-- changes nothing.
--
-- f:{flow}, j:{run}:flows: flows.lua
-- ARGV 1 prefix 2 flow 3 stage 4 fence 5 number of the first member
--      6… for each: program, items, base, first stage, queue, label, items (sealed)
-- Returns 'ok' | 'lost' | 'stopped'
local t, F = now_ms(), flows()
local prefix, id, stage = ARGV[1], ARGV[2], ARGV[3]
local state = redis.call('HGET', prefix .. 'j:' .. F.run_of(id), 'state')
if not state or FINAL[state] then return 'stopped' end
local fl = F.read_flow(prefix, id)
if not fl or fl.at ~= stage or fl.f ~= ARGV[4] or fl.w == '' then return 'lost' end
local names = {}
for k = 6, #ARGV, 7 do
  local member = id .. '/' .. stage .. '.' .. math.floor(ARGV[5] + (k - 6) / 7)
  local key = prefix .. 'f:' .. member
  redis.call('HSET', key, 'run', fl.run, 'u', id, 'p', ARGV[k], 'n', ARGV[k + 1], 'base', ARGV[k + 2], 'at', ARGV[k + 3],
    'q', ARGV[k + 4], 'lb', ARGV[k + 5], 's', ARGV[k + 6], 'z', '', 'f', 0, 'l', 0, 'w', '', 'x', 0, 'ent', 0, 'pv', '',
    'pf', 0, 'm', 0, 'pc', 0, 'sz', 0, 'created', t, 'k', 0, 'r', t)
  redis.call('PEXPIRE', key, VALUES_MS)
  names[#names + 1] = member
end
F.in_pieces(names, 'SADD', F.run_keys(prefix, fl.run).flows)
return 'ok'
