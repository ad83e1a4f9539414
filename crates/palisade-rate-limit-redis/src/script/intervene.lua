-- Resets, blocks or unblocks a key, and tells the other machines. Arguments: what to do, the length of a block, the channel
-- and the message.
local action, length = ARGV[1], tonumber(ARGV[2])
local stored = redis.pcall('HMGET', key, 'b', 'x')
if stored.err then
  redis.call('DEL', key)
  stored = {}
end
local blocked, expires = tonumber(stored[1]), tonumber(stored[2])
if action == 'reset' then
  redis.call('DEL', key)
  expires = nil
elseif action == 'block' then
  blocked = now + length
elseif blocked then
  redis.call('HDEL', key, 'b')
  blocked = nil
end
if blocked and blocked > now and action ~= 'unblock' then
  redis.call('HSET', key, 'b', string.format('%.0f', blocked))
  if not expires or expires < blocked then
    redis.call('HSET', key, 'x', string.format('%.0f', blocked))
    redis.call('PEXPIRE', key, string.format('%.0f', blocked - now + 1000))
  end
end
-- A user without the right to publish has intervened nevertheless.
redis.pcall('PUBLISH', ARGV[3], ARGV[4])
return { 1 }
