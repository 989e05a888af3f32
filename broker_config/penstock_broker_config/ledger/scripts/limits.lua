-- Limits: how many batches of a key run at once (slots with a lease), and how many of its calls start in a
-- second (tokens). A batch holds one slot of each of its keys, since it runs one call at a time.
--
-- l:{key}       hash: c r b  concurrency, calls a second, burst: the operator's ('' or missing = as declared,
--               'inf' = none); dc dr db  what the tool declares; p paused until; t tokens, a when counted
--               kept for an hour after its last use, while it pauses, and until its tokens are back
-- lh:{key}      sorted set, batch → until when its slot is leased
-- lw:{key}      sorted set, who waits for the key (a buffer, or =BATCH) → since when
--               A key is whatever callers make of their params: none of these names is another key's.
-- limits        sorted set, key → last used; the operator's own keys never leave it
-- set           set, keys that the operator has set
-- wake          sorted set, key → when its waiters may be looked at again

local IDLE_LIMIT_MS = 3600000
-- Slots go with their batches. Those of a damaged one, which nobody ends, after thirty days.
local SLOTS_MS = 2592000000
-- Ten years: no expiry is so far away that Redis would refuse it.
local LONGEST_LIMIT_MS = 315360000000

local function wake_dispatchers(prefix)
  redis.call('PUBLISH', prefix .. 'dispatch', '1')
end

local function slots_of(prefix, key) return prefix .. 'lh:' .. key end
local function waiters_of(prefix, key) return prefix .. 'lw:' .. key end

-- Reads a limit: concurrency, rate, burst (nil = none), paused until, tokens now.
local function read_limit(prefix, key, t)
  local l = redis.call('HMGET', prefix .. 'l:' .. key, 'c', 'r', 'b', 'dc', 'dr', 'db', 'p', 't', 'a')
  local function either(own, declared)
    local value = tonumber((own and own ~= '') and own or declared or '')
    if value == math.huge then return nil end
    return value
  end
  local limit = {concurrency = either(l[1], l[4]), rate = either(l[2], l[5]), paused = tonumber(l[7] or '') or 0}
  if limit.rate then
    limit.burst = math.max(1, either(l[3], l[6]) or limit.rate)
    local tokens, at = tonumber(l[8] or ''), tonumber(l[9] or '')
    limit.tokens = limit.burst
    if tokens and at then
      -- A clock that was put back must not stop a rate for as long.
      if at > t then redis.call('HSET', prefix .. 'l:' .. key, 'a', t) end
      limit.tokens = math.min(limit.burst, tokens + math.max(0, t - at) / 1000 * limit.rate)
    end
  end
  return limit
end

-- The operator's own stay. Of the others what would be the same when they come back is not kept.
local function keep_limit(prefix, key, t, until_ms, limit)
  if redis.call('SISMEMBER', prefix .. 'set', key) == 1 then return end
  limit = limit or read_limit(prefix, key, t)
  local ms = math.max(IDLE_LIMIT_MS, (until_ms or 0) - t + 60000, limit.paused - t + 60000)
  if limit.rate and limit.rate > 0 then ms = math.max(ms, (limit.burst - limit.tokens) / limit.rate * 1000) end
  redis.call('PEXPIRE', prefix .. 'l:' .. key, math.ceil(math.min(ms, LONGEST_LIMIT_MS)))
end

-- How many of `want` calls may start now. 0 comes with the key that forbids it and when to look again.
-- Slots that the batch `own` holds already are not asked for again, unless there are fewer of them by now; nor are its
-- tokens, but those of its last `unpaid` keys: what it owes of them delays whoever comes next.
local function admitted(prefix, keys, want, t, own, unpaid)
  local n = want
  for place, key in ipairs(keys) do
    local limit = read_limit(prefix, key, t)
    if limit.paused > t then return 0, key, limit.paused end
    if limit.concurrency then
      local held = slots_of(prefix, key)
      redis.call('ZREMRANGEBYSCORE', held, '-inf', t)
      local mine = own and redis.call('ZSCORE', held, own) and 1 or 0
      if redis.call('ZCARD', held) - mine >= limit.concurrency then
        local first = redis.call('ZRANGE', held, 0, 0, 'WITHSCORES')
        return 0, key, first[2] and tonumber(first[2]) or t + 60000
      end
    end
    if limit.rate and (not own or place > #keys - (unpaid or 0)) then
      if limit.rate <= 0 then return 0, key, t + 60000 end
      if limit.tokens < 1 then return 0, key, t + math.ceil((1 - limit.tokens) / limit.rate * 1000) end
      n = math.min(n, math.floor(limit.tokens))
    end
  end
  return n
end

-- Takes a slot of each key for a batch, and a token for each of its calls (0: they were taken before); of its last
-- `unpaid` keys only, when that is given.
local function take_slots(prefix, keys, id, calls, t, until_ms, unpaid)
  for place, key in ipairs(keys) do
    redis.call('ZADD', slots_of(prefix, key), until_ms, id)
    local limit
    if place > #keys - (unpaid or #keys) and calls > 0 then
      limit = read_limit(prefix, key, t)
      if limit.rate then
        limit.tokens = limit.tokens - calls
        redis.call('HSET', prefix .. 'l:' .. key, 't', string.format('%.6f', limit.tokens), 'a', t)
      end
    end
    redis.call('PEXPIRE', slots_of(prefix, key), SLOTS_MS)
    keep_limit(prefix, key, t, until_ms, limit)
    redis.call('ZADD', prefix .. 'limits', t, key)
  end
end

-- What a tool declares; the operator's own figures stand beside it and count first.
local function declare_limit(prefix, key, concurrency, rate, burst, t)
  local lkey = prefix .. 'l:' .. key
  redis.call('HSET', lkey, 'dc', concurrency, 'dr', rate, 'db', burst)
  keep_limit(prefix, key, t)
  redis.call('ZADD', prefix .. 'limits', t, key)
end

-- What is declared of a call's keys goes with it ("concurrency,rate,burst" of each, a line each), since it may
-- wait for longer than a limit is kept that nobody uses.
local function declare_again(prefix, keys, figures, t)
  local place = 0
  for concurrency, rate, burst in string.gmatch(figures or '', '([^,\n]*),([^,\n]*),([^,\n]*)') do
    place = place + 1
    local key = keys[place]
    if key and redis.call('HEXISTS', prefix .. 'l:' .. key, 'dc') == 0 then
      declare_limit(prefix, key, concurrency, rate, burst, t)
    end
  end
end

local function holds_slots(prefix, keys, id, t)
  for _, key in ipairs(keys) do
    local until_ms = redis.call('ZSCORE', slots_of(prefix, key), id)
    if not until_ms or tonumber(until_ms) <= t then return false end
  end
  return true
end

-- Keeps the slots of a batch together with its lease. False when one was lost meanwhile and is taken.
local function keep_slots(prefix, b, t, until_ms)
  declare_again(prefix, b.keys, b.figures, t)
  local allowed = admitted(prefix, b.keys, 1, t, b.id)
  -- A pause holds up what has not begun; what runs goes on.
  if allowed == 0 and not holds_slots(prefix, b.keys, b.id, t) then return false end
  for _, key in ipairs(b.keys) do redis.call('ZADD', slots_of(prefix, key), until_ms, b.id) end
  return true
end

-- Somebody may be able to use the key now.
local function wake_waiters(prefix, key, at, t)
  if redis.call('EXISTS', waiters_of(prefix, key)) == 1 then
    redis.call('ZADD', prefix .. 'wake', 'LT', at, key)
    if at <= t then wake_dispatchers(prefix) end
  end
end

local function free_slots(prefix, keys, id, t)
  for _, key in ipairs(keys) do
    if redis.call('ZREM', slots_of(prefix, key), id) == 1 then wake_waiters(prefix, key, t, t) end
  end
end

local function wait_for(prefix, waiter, key, at, t)
  redis.call('ZADD', waiters_of(prefix, key), 'NX', t, waiter)
  redis.call('ZADD', prefix .. 'wake', 'LT', at, key)
end

-- A buffer does not wait for the key any more.
local function stop_waiting(prefix, waiter, key)
  redis.call('ZREM', waiters_of(prefix, key), waiter)
  if redis.call('EXISTS', waiters_of(prefix, key)) == 0 then redis.call('ZREM', prefix .. 'wake', key) end
end

-- A pause is never shortened: whoever met the limit last and was told to wait longest is right.
local function pause_limit(prefix, key, for_ms, t)
  local lkey = prefix .. 'l:' .. key
  local at = t + for_ms
  if at > (tonumber(redis.call('HGET', lkey, 'p') or '') or 0) then redis.call('HSET', lkey, 'p', at) end
  redis.call('ZADD', prefix .. 'limits', t, key)
  keep_limit(prefix, key, t)
end

-- The keys that every call of a tool and of a tenant has, where the operator has set them.
local function add_standing_keys(prefix, keys, tool, tenant)
  if redis.call('EXISTS', prefix .. 'set') == 0 then return keys end
  for _, key in ipairs({'tool:' .. tool, 'tenant:' .. tenant}) do
    if redis.call('SISMEMBER', prefix .. 'set', key) == 1 then
      local there = false
      for _, known in ipairs(keys) do there = there or known == key end
      if not there then keys[#keys + 1] = key end
    end
  end
  return keys
end

local function pack_keys(keys) return table.concat(keys, '\n') end

local function unpack_keys(text)
  local keys = {}
  for key in string.gmatch(text or '', '[^\n]+') do keys[#keys + 1] = key end
  return keys
end
