-- COMMIT AND CLAIM: records the last calls of a batch and, when that finishes it, gives the same worker the batch
-- that has waited longest in the same queue. Both halves are the scripts COMMIT and CLAIM themselves.
--
-- Nothing is overtaken: there is no next one while anything waits in another queue that the worker serves, when the
-- first in line is for another tool, or when it is one that only a doorbell may start (its calls may run once only,
-- or a worker was lost over it).
--
-- KEYS 1 open  2 costs  3 dead  as in commit.lua and claim.lua
-- wait:{queue}, b:{batch}: batches.lua; formed:{queue}: buffers.lua
-- next:{holder}  string: the batch that was given to this holder, for a commit that is sent again because its
--                answer got lost. Lives as long as the lease.
-- ARGV 1 how many arguments of CLAIM follow, and those, the batch left empty; how many queues the worker serves,
--      and those; then the arguments of COMMIT
-- Returns {word} | {word, batch, 'granted', … as a claim}
local n_claim = tonumber(ARGV[1])
local claiming = {unpack(ARGV, 2, n_claim + 1)}
local n_queues = tonumber(ARGV[n_claim + 2])
local queues = {unpack(ARGV, n_claim + 3, n_claim + n_queues + 2)}
local committing = {unpack(ARGV, n_claim + n_queues + 3)}
local prefix, holder = claiming[1], claiming[3]
local given = prefix .. 'next:' .. holder

local function claim(id)
  claiming[2] = id
  local answer = claim_batch({KEYS[1], KEYS[3]}, claiming)
  if answer[1] ~= 'granted' then return nil end
  return {id, unpack(answer)}
end

-- The first in a sorted set of batches that `fits`, and its score. What does not fit is none of ours any more (ended,
-- cancelled or damaged): its doorbell or the reaper sees to it.
local function first_of(line, fits)
  for _ = 1, 32 do
    local entry = redis.call('ZRANGE', line, 0, 0, 'WITHSCORES')
    if not entry[1] then return nil end
    local b = read_batch(prefix, entry[1])
    if b and fits(b) then return b, tonumber(entry[2]) end
    redis.call('ZREM', line, entry[1])
  end
end

local function is_stretch(b)
  return not b.owners and not FINAL[redis.call('HGET', b.jk.job, 'state') or 'cancelled']
end

local function is_formed(b) return b.owners end

-- What waits longest in a queue: a stretch of one job, or a batch that was formed.
local function first_in(queue)
  local stretch, place_us = first_of(waiting_key(prefix, queue), is_stretch)
  local formed, since_ms = first_of(prefix .. 'formed:' .. queue, is_formed)
  if stretch and formed then return place_us / 1000 <= since_ms and stretch or formed end
  return stretch or formed
end

local function next_of(queue, tool)
  local served = false
  for _, other in ipairs(queues) do
    if other == queue then served = true elseif first_in(other) then return nil end
  end
  local b = served and first_in(queue)
  if not b or b.tool ~= tool or b.once == '1' or b.careful == '1' or b.w ~= '' then return nil end
  local answer = claim(b.id)
  if answer then redis.call('SET', given, b.id, 'PX', claiming[4]) end
  return answer
end

-- What this holder was given when it asked before, if it still holds it: nobody is charged for asking again.
local function given_before()
  local id = redis.call('GET', given)
  local b = id and read_batch(prefix, id)
  return b and b.w == holder and claim(id) or nil
end

local before = redis.pcall('HMGET', prefix .. 'b:' .. committing[2], 'queue', 'tool')
local word = commit_batch(KEYS, committing)
if type(word) == 'table' then return word end
local answer
if word == 'finished' then
  answer = next_of(before[1], before[2])
elseif word ~= 'ok' then
  answer = given_before()
end
return {word, unpack(answer or {})}
