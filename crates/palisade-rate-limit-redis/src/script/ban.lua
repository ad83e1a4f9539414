-- Counts a refusal, in windows of the ban, and blocks the key if it is one too many. The field `n` has the number of the
-- window, the refusals in it, the blocks that the key has earned, and until when these are remembered.
if blocked <= 0 and cost > 0 then
  local index, count, earned, remembered = floor(now / ban_window), 0, 0, 0
  if bans and #bans == 20 then
    local window, refusals, blocks, ends = unpack_value('>I6I4I4I6', bans)
    if window >= index then index, count = window, refusals end
    if ends > now then earned, remembered = blocks, ends end
  end
  if stored.err then call('DEL', key) end
  count = count + 1
  if count >= ban_refusals then
    blocked = math.min(ban_first * 2 ^ earned, ban_longest)
    -- Of 63 on, they are as long as they can be.
    is_new, count, earned, remembered = true, 0, math.min(earned + 1, 63), now + 2 * blocked
    call('HSET', key, 'b', now + blocked)
  end
  call('HSET', key, 'n', pack_value('>I6I4I4I6', index, count, earned, remembered))
  local ends, expires = math.max((index + 1) * ban_window, remembered), tonumber(call('HGET', key, 'x'))
  if not expires or expires < ends then
    call('HSET', key, 'x', ends)
    call('PEXPIRE', key, ends - now + 1000)
  end
end
