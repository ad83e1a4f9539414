-- One count, of the current window.
--@read
local index_N = floor(now / window_N)
local held_N, count_N, fresh_N = now, 0, true
if value_N and #value_N == 10 then
  local index, count = unpack_value('>I6I4', value_N)
  if index == index_N then
    count_N, fresh_N = count, false
  elseif index > index_N then
    index_N, held_N, count_N, fresh_N = index, index * window_N, count, false
  end
end
local room_N = limit_N - count_N
--@wait
wait = n > limit_N and -1 or (index_N + 1) * window_N - now
--@charge
count_N, room_N = count_N + charged, room_N - charged
--@refund
if floor(moment / window_N) == index_N then
  count_N, given = math.max(0, count_N - amount), given + 1
end
--@value
value_N, ends_N = pack_value('>I6I4', index_N, count_N), (index_N + 1) * window_N
