-- Two counts, of the current window and of the previous one, of which the part counts that the last window's length covers.
--@read
local index_N = floor(now / window_N)
local border_N, held_N = (index_N + 1) * window_N, now
local before_N, count_N, fresh_N = 0, 0, true
if value_N and #value_N == 14 then
  local index, before, count = unpack_value('>I6I4I4', value_N)
  if index == index_N then
    before_N, count_N, fresh_N = before, count, false
  elseif index == index_N - 1 then
    before_N = count
  elseif index > index_N then
    -- The clock went backwards: the beginning of that window, when the previous one weighs most.
    index_N, border_N, held_N = index, (index + 1) * window_N, index * window_N
    before_N, count_N, fresh_N = before, count, false
  end
end
-- The weighted count is rounded down, as in memory.
local room_N = limit_N - count_N - floor(before_N * (border_N - held_N) / window_N)
--@wait
if n > limit_N then
  wait = -1
elseif count_N + n <= limit_N then
  -- as soon as the previous window counts as little enough: the largest overlap with
  -- before * overlap < (limit - count - n + 1) * window
  wait = border_N - ceil((limit_N - count_N - n + 1) * window_N / before_N) + 1 - now
else
  -- The current window has to become the previous one, and then to count as little enough.
  local overlap = ceil((limit_N - n + 1) * window_N / count_N) - 1
  if overlap > window_N then overlap = window_N end
  wait = border_N + window_N - overlap - now
end
--@charge
count_N, room_N = count_N + charged, room_N - charged
--@refund
local index = floor(moment / window_N)
if index == index_N then
  count_N, given = math.max(0, count_N - amount), given + 1
elseif index == index_N - 1 then
  before_N, given = math.max(0, before_N - amount), given + 1
end
--@value
value_N, ends_N = pack_value('>I6I4I4', index_N, before_N, count_N), border_N + window_N
