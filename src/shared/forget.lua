#!lua flags=allow-oom
-- Makes room where memory is full: gives up a part of the mids, of the oldest half-day that has any.
-- KEYS: the log. ARGV: how the sets of mids begin.
-- Returns how many it gave up: none where so few are remembered that they are not what fills it.
local STRETCH, STRETCHES, PART, LEAST = 12 * 60 * 60, 4, 16, 1000

local newest = math.floor(redis.call('TIME')[1] / STRETCH)
local total, oldest = 0, nil
for age = STRETCHES - 1, 0, -1 do
  local count = redis.call('SCARD', ARGV[1] .. (newest - age))
  total = total + count
  oldest = oldest or count > 0 and age
end
if total < LEAST or total < redis.call('XLEN', KEYS[1]) then
  return 0
end
if oldest == 0 then
  -- A set has no order: what comes from now on gets one of its own, and is given up later.
  redis.call('RENAME', ARGV[1] .. newest, ARGV[1] .. (newest - 1))
  oldest = 1
end
return #redis.call('SPOP', ARGV[1] .. (newest - oldest), math.ceil(total / PART))
