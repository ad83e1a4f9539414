-- The time of each request, the oldest first, in six bytes each.
--@read
local log_N, held_N, fresh_N = '', now, true
if value_N and #value_N % 6 == 0 then
  log_N = value_N
  local first, last = 1, #log_N / 6
  if last > 0 then
    held_N = math.max(now, (unpack_value('>I6', log_N, last * 6 - 5)))
  end
  -- the first that still counts
  while first <= last do
    local middle = floor((first + last) / 2)
    if unpack_value('>I6', log_N, middle * 6 - 5) > held_N - window_N then
      last = middle - 1
    else
      first = middle + 1
    end
  end
  log_N = string.sub(log_N, first * 6 - 5)
end
local room_N = limit_N - #log_N / 6
--@wait
wait = n > limit_N and -1 or unpack_value('>I6', log_N, (n - room_N) * 6 - 5) + window_N - now
--@charge
log_N, room_N = log_N .. string.rep(pack_value('>I6', held_N), charged), room_N - charged
--@refund
local first, last
for i = #log_N / 6, 1, -1 do
  local at = unpack_value('>I6', log_N, i * 6 - 5)
  if at < moment or (last and last - i == amount) then break end
  if at == moment then
    first, last = i, last or i
  end
end
if first then
  log_N, given = string.sub(log_N, 1, first * 6 - 6) .. string.sub(log_N, last * 6 + 1), given + 1
end
--@value
value_N, ends_N = log_N, held_N + window_N
