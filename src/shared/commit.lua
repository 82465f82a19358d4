#!lua flags=allow-oom
-- Writes what was sent, unless another process sends by now. It may be written twice.
-- KEYS: the epoch, the log, the bytes that were sent of long texts, how many echoes each person is owed.
-- ARGV: the epoch of the writer, how many texts were sent in part; then id and bytes of each, then the ids of the
-- echoes that are not owed any more.
-- Returns a list of one: whether it was written.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return { 0 }
end
local parts = 2 + 2 * ARGV[2]
for i = 3, parts, 2 do
  if ARGV[i + 1] - (redis.call('HGET', KEYS[3], ARGV[i]) or 0) > 0 then
    redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
  end
end
for i = parts + 1, #ARGV do
  local id = ARGV[i]
  local entry = redis.call('XRANGE', KEYS[2], id, id)[1]
  if entry then
    redis.call('XDEL', KEYS[2], id)
    local person = entry[2][2]
    if redis.call('HINCRBY', KEYS[4], person, -1) <= 0 then
      redis.call('HDEL', KEYS[4], person)
    end
  end
  redis.call('HDEL', KEYS[3], id)
end
return { 1 }
