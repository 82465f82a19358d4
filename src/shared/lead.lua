#!lua flags=allow-oom
-- Takes the lease, or keeps it. Also where memory is full: only what is sent makes room.
-- KEYS: who has the lease, the epoch, the log. ARGV: who asks, the lease in milliseconds.
-- Returns the epoch and the last id of the log, or 0 and the milliseconds that another's lease still has.
local holder, epoch = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then
  return { '0', tostring(redis.call('PTTL', KEYS[1])) }
end
if not holder or not epoch then
  -- A counter alone comes twice when a failover has lost its last value, and a clock alone may step back.
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  epoch = string.format('%.0f', math.max(now, (epoch or 0) + 1))
  redis.call('SET', KEYS[2], epoch)
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])

local last = '0-0'
if redis.call('EXISTS', KEYS[3]) == 1 then
  local told = redis.call('XINFO', 'STREAM', KEYS[3])
  for i = 1, #told, 2 do
    if told[i] == 'last-generated-id' then
      last = told[i + 1]
    end
  end
end
return { epoch, last }
