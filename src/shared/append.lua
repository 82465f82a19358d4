-- Appends echoes; one whose message is known is passed over.
-- KEYS, then: how many echoes each person is owed, a key that is written when nothing else is.
-- ARGV, then: how the sets of mids begin, how many echoes may be owed, up to how many anybody may be owed any number,
-- and how many one person above that; then person, mid and record of each echo.
-- Returns the places, from 0, of those for which there is no room.
local STRETCH, STRETCHES = 12 * 60 * 60, 4
local FIRST = 8
-- The last number of an entry within its millisecond for which there is room in an id (record.rs).
local LAST = 2 ^ 20 - 1

if #ARGV >= FIRST and is_anothers() then
  return OTHERPAGE
end

local newest = math.floor(redis.call('TIME')[1] / STRETCH)
local mids, most, free, share = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local before, new, refused = redis.call('XLEN', LOG), 0, {}

local function is_known(mid)
  for age = 0, STRETCHES - 1 do
    if redis.call('SISMEMBER', mids .. (newest - age), mid) == 1 then
      return true
    end
  end
end

-- Where nothing is owed, all that comes at once is taken.
local function has_room(person)
  local owed = before + new + 1
  return before == 0 or owed <= free
    or owed <= most and (redis.call('HGET', KEYS[4], person) or 0) + 1 <= share
end

for i = FIRST, #ARGV, 3 do
  local person, mid, record = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if mid ~= '' and is_known(mid) then
    -- It is in the log, or was.
  elseif has_room(person) then
    -- The server undoes nothing when a call fails. So the mid comes last: an echo may be sent twice for it, and is not lost.
    local id = redis.call('XADD', LOG, '*', 'person', person, 'record', record)
    local time, number = id:match('(%d+)-(%d+)')
    if tonumber(number) >= LAST then
      -- The server's clock was ahead once, and its ids wait for the time to come.
      redis.call('XSETID', LOG, string.format('%.0f-0', time + 1))
    end
    redis.call('HINCRBY', KEYS[4], person, 1)
    if mid ~= '' then
      local set = mids .. newest
      redis.call('SADD', set, mid)
      redis.call('EXPIRE', set, STRETCHES * STRETCH)
    end
    new = new + 1
  else
    table.insert(refused, (i - FIRST) / 3)
  end
end

if new > 0 then
  redis.call('HSETNX', OWNER, 'token', TOKEN)
  -- Where the two do not agree, neither is believed.
  if SEEN ~= '' and (TOLD == '' or TOLD == SEEN) and (not token or token == TOKEN) then
    redis.call('HSET', OWNER, 'page', SEEN)
  end
else
  -- What made them known may not be on the server's disk yet; the reply to a write comes when all before it is.
  redis.call('INCR', KEYS[5])
end
return refused
