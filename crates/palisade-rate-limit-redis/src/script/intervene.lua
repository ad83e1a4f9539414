-- Resets, blocks or unblocks a key, and tells the other machines. Arguments: what to do, the length of a block, the channel
-- and the message.
local action, length = ARGV[1], tonumber(ARGV[2])
if stored.err then
  call('DEL', key)
  stored = {}
end
local blocked, bans, expires = tonumber(stored[1]), stored[2], tonumber(stored[3])
if blocked and blocked <= now then blocked = nil end
if action == 'reset' then
  -- Blocks stay, and so does what is known of bans.
  call('DEL', key)
  if expires and (blocked or bans) then
    if blocked then call('HSET', key, 'b', blocked) end
    if bans then call('HSET', key, 'n', bans) end
    call('HSET', key, 'x', expires)
    call('PEXPIRE', key, expires - now + 1000)
  end
elseif action == 'unblock' then
  call('HDEL', key, 'b', 'n')
else
  blocked = now + length
  call('HSET', key, 'b', blocked)
  if not expires or expires < blocked then
    call('HSET', key, 'x', blocked)
    call('PEXPIRE', key, blocked - now + 1000)
  end
end
-- A user without the right to publish has intervened nevertheless.
redis.pcall('PUBLISH', ARGV[3], ARGV[4])
return { 1 }
