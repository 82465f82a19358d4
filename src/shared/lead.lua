-- Takes the lease, or keeps it. Also where memory is full: only what is sent makes room.
-- KEYS, then: the epoch. ARGV, then: the process that asks, the lease in milliseconds.
-- Returns the epoch and the time in milliseconds, or 0 and the milliseconds that another's lease still has.
if is_anothers() then
  return OTHERPAGE
end
local holder, epoch = redis.call('GET', LEADER), redis.call('GET', KEYS[4])
if holder and holder ~= ARGV[4] then
  local left, longest = redis.call('PTTL', LEADER), tonumber(ARGV[5])
  -- A lease that does not end, or ends later than any that echobot takes: its holder may be dead. One that lives renews it.
  if left < 0 or left > longest then
    redis.call('PEXPIRE', LEADER, longest)
    left = longest
  end
  return { '0', left }
end
local time = redis.call('TIME')
if not holder or not epoch then
  -- A counter alone comes twice when a failover has lost its last value, and a clock alone may step back.
  local now = time[1] * 1000000 + time[2]
  epoch = string.format('%.0f', math.max(now, (epoch or 0) + 1))
  redis.call('SET', KEYS[4], epoch)
end
redis.call('SET', LEADER, ARGV[4], 'PX', ARGV[5])
if token ~= TOKEN then
  redis.call('HSET', OWNER, 'token', TOKEN)
  if not is_ours then
    redis.call('HDEL', OWNER, 'page')
  end
end
return { epoch, math.floor(time[1] * 1000 + time[2] / 1000) }
