#!lua
-- Appends the echoes of one webhook, all or none; a message that is known is passed over.
-- KEYS: the log, how many echoes each person is owed, a key that is written when nothing else is.
-- ARGV: how the sets of mids begin, how many echoes may be owed, how many to one person where much is owed; then
-- person, mid and record of each echo.
-- Returns how many are new, or -1 when there is no room.
local STRETCH, STRETCHES = 12 * 60 * 60, 4

local newest = math.floor(redis.call('TIME')[1] / STRETCH)
local seen = {}

local function is_known(mid)
  for age = 0, STRETCHES - 1 do
    if redis.call('SISMEMBER', ARGV[1] .. (newest - age), mid) == 1 then
      return true
    end
  end
  return seen[mid]
end

local new, persons = {}, {}
for i = 4, #ARGV, 3 do
  local person, mid = ARGV[i], ARGV[i + 1]
  if mid == '' or not is_known(mid) then
    seen[mid] = true
    persons[person] = (persons[person] or 0) + 1
    table.insert(new, i)
  end
end

if #new == 0 then
  -- What made them known may not be on the server's disk yet; the reply to a write comes when all before it is.
  redis.call('INCR', KEYS[3])
  return 0
end

local owed, most = redis.call('XLEN', KEYS[1]), tonumber(ARGV[2])
if owed > 0 and owed + #new > most then
  return -1
end
if owed > 0 and owed + #new > most / 2 then
  for person, count in pairs(persons) do
    if count + (redis.call('HGET', KEYS[2], person) or 0) > tonumber(ARGV[3]) then
      return -1
    end
  end
end

for _, i in ipairs(new) do
  local person, mid, record = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if mid ~= '' then
    local set = ARGV[1] .. newest
    redis.call('SADD', set, mid)
    redis.call('EXPIRE', set, STRETCHES * STRETCH)
  end
  redis.call('XADD', KEYS[1], '*', 'person', person, 'record', record)
  redis.call('HINCRBY', KEYS[2], person, 1)
end
return #new
