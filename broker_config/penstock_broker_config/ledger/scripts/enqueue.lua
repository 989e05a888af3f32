-- ENQUEUE: accepts calls that do not leave at once: they have a batch key, a limit or a delay. Like SUBMIT it
-- creates the job with its first calls; the calls wait in buffers until DISPATCH forms batches of them.
--
-- KEYS 1 jobs   sorted set, job → created
--      2 costs  hash, digest:tool → µs
--      3 version  the catalog's counter
--      4 idem   string "job|params digest" (only touched when ARGV has a digest)
-- j:{job}: jobs.lua; the buffers' keys: buffers.lua; the limits': limits.lua
-- ARGV 1 prefix 2 job 3 base 4 n 5 header 6 queue 7 tool 8 digest 9 tenant 10 once 11 policy
--      12 deadline (ms from now or '') 13 total ('' = not known yet) 14 single 15 delay (ms from now or '')
--      16 params digest of the idempotency key ('' = none) 17 keep ok ms 18 keep err ms
--      19 calls of a buffer at most 20 calls of all at most 21 bytes of all at most
--      22 flow 23 stage 24 fence: as for SUBMIT (there 24 25 26)
--      25 number of buffers; for each: name, key, size, bytes, wait ms, number of limits, and for each of
--         those: key, concurrency, rate, burst
--      then for each call: number of its buffer, bytes of its params, those and its MAC as JSON text
--      (["params","mac"])
-- Returns {word, job, cost, finished, version, state, what, ms}; word: ok again first conflict gap closed
--         overloaded (what is full, after how many ms to try again) lost
local t = now_ms()
local prefix, id = ARGV[1], ARGV[2]
local jk = job_keys(prefix, id)
local base, n = tonumber(ARGV[3]), tonumber(ARGV[4])
if n < 1 or n > MAX_CALLS then return redis.error_reply('ENQUEUE of ' .. n .. ' calls: 1 to ' .. MAX_CALLS) end

local sent = {tool = ARGV[7], tenant = ARGV[9], digest = ARGV[8], queue = ARGV[6], single = ARGV[14],
  total = ARGV[13], deadline = ARGV[12], idem = ARGV[16], idem_key = KEYS[4],
  delay = ARGV[15] ~= '' and ARGV[15] or nil}

local at = 26
local buffers = {}
for b = 1, tonumber(ARGV[25]) do
  local buffer = {name = ARGV[at], key = ARGV[at + 1], size = ARGV[at + 2], bytes = ARGV[at + 3],
    wait = ARGV[at + 4], limits = {}, calls = 0}
  local limits = tonumber(ARGV[at + 5])
  at = at + 6
  for l = 1, limits do
    buffer.limits[l] = {key = ARGV[at], concurrency = ARGV[at + 1], rate = ARGV[at + 2], burst = ARGV[at + 3]}
    at = at + 4
  end
  buffers[b] = buffer
end

local size = 0
for c = 0, n - 1 do
  local buffer = buffers[tonumber(ARGV[at + 3 * c])]
  buffer.calls = buffer.calls + 1
  size = size + tonumber(ARGV[at + 3 * c + 1])
end

local word, speaks_of = may_accept(jk, sent, base)
if ARGV[22] ~= '' then
  sent.flow, sent.stage, sent.fence = ARGV[22], ARGV[23], ARGV[24]
  local why = flows().may_add_inner(prefix, jk, sent)
  if why ~= '' then word = why end
end
if word == 'new' or word == 'next' then
  local what, wait_ms
  if not sent.flow then what, wait_ms = overloaded(prefix, n, size, tonumber(ARGV[20]), tonumber(ARGV[21])) end
  for _, buffer in ipairs(sent.flow and {} or buffers) do
    local waiting = tonumber(redis.call('HGET', prefix .. 'qs:' .. buffer.name, 'n') or 0)
    if not what and waiting > 0 and waiting + buffer.calls > tonumber(ARGV[19]) then
      what, wait_ms = 'calls that wait under one key', 1000
    end
  end
  if what then return accept_answer(prefix, 'overloaded', id, KEYS[2], KEYS[3], sent, what, wait_ms) end
  local deadline = accept(jk, sent, word, n, KEYS[1], t)
  if sent.flow then flows().add_inner(prefix, jk, sent) end
  local header = keep_header(jk, ARGV[5])
  redis.call('HINCRBY', jk.job, 'waiting', n)
  if deadline ~= '' then redis.call('ZADD', prefix .. 'late', tonumber(deadline) + 1, id) end
  pend(prefix, n, size)

  local delayed = ARGV[15] ~= ''
  local look = false
  for _, buffer in ipairs(buffers) do
    local keys, figures = {}, {}
    for l, limit in ipairs(buffer.limits) do
      declare_limit(prefix, limit.key, limit.concurrency, limit.rate, limit.burst, t)
      keys[l] = limit.key
      figures[l] = limit.concurrency .. ',' .. limit.rate .. ',' .. limit.burst
    end
    buffer.into = delayed and buffer.name or ''
    if delayed then buffer.name = buffer.name .. '@' .. id .. '.' .. base end
    open_buffer(prefix, buffer.name, {'tool', ARGV[7], 'digest', ARGV[8], 'tenant', ARGV[9], 'queue', ARGV[6],
      'once', ARGV[10], 'policy', ARGV[11], 'key', buffer.key, 'limits', pack_keys(keys),
      'figures', pack_keys(figures), 'size', buffer.size, 'bytes', buffer.bytes, 'wait', buffer.wait,
      'into', buffer.into})
  end
  local due = delayed and t + tonumber(ARGV[15]) or t
  for c = 0, n - 1 do
    local buffer, bytes, call = buffers[tonumber(ARGV[at + 3 * c])], ARGV[at + 3 * c + 1], ARGV[at + 3 * c + 2]
    local item = table.concat({id, base + c, bytes, t, 0, header, call}, ' ')
    look = append(prefix, buffer.name, item, tonumber(bytes), due, t) or look
  end
  if look then wake_dispatchers(prefix) end
  word = 'ok'
end
return accept_answer(prefix, word, speaks_of, KEYS[2], KEYS[3], sent)
