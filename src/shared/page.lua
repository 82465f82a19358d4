-- An outbox belongs to one page: what one page is owed is never sent with another's token. Bots with the same token have
-- the same page. One with another token, such as a renewed one, has it when its page is that of the last event that was
-- taken with the token that the outbox knows.
-- KEYS, the first three: the owner, the process with the lease, the log.
-- ARGV, the first three: a digest of the token, the page that the Graph API names for it, the page of the last event.
local OWNER, LEADER, LOG = KEYS[1], KEYS[2], KEYS[3]
local TOKEN, TOLD, SEEN = ARGV[1], ARGV[2], ARGV[3]

-- The server undoes nothing when a call fails. So nothing begins for a user who may not run all that echobot runs.
local NEEDED = 'DEL EXISTS EXPIRE GET HDEL HGET HGETALL HINCRBY HMGET HSET HSETNX INCR PEXPIRE PTTL RENAME SADD SCARD SET '
  .. 'SISMEMBER SPOP TIME XADD XDEL XLEN XRANGE XREAD'
for command in string.gmatch(NEEDED, '%S+') do
  if redis.acl_check_cmd and not redis.acl_check_cmd(command, LOG, LOG, LOG, LOG) then
    return { err = 'NOPERM its user may not run ' .. command .. ' on ' .. LOG }
  end
end

local token, page = unpack(redis.call('HMGET', OWNER, 'token', 'page'))
local is_ours = page == (TOLD ~= '' and TOLD or SEEN)

local OTHERPAGE = { err = 'OTHERPAGE it belongs to another page' }

local function is_anothers()
  if not token or token == TOKEN or is_ours then
    return false
  end
  -- It is nobody's when no process has the lease and nothing is known to be owed by another page.
  return redis.call('EXISTS', LEADER) == 1 or page and redis.call('XLEN', LOG) > 0
end
