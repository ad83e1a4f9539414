-- Counts of eighths of the window. An interval of a window's length touches at most nine in a row, and all nine are counted
-- whole.
--@read
local part_N = floor(now * 8 / window_N)
local held_N, fresh_N, counts_N = now, true, { 0, 0, 0, 0, 0, 0, 0, 0, 0 }
if value_N and #value_N == 42 then
  local stored = { unpack_value('>I6I4I4I4I4I4I4I4I4I4', value_N) }
  local newest = stored[1]
  if newest > part_N then
    -- the beginning of that part, to the first whole millisecond
    part_N, held_N = newest, ceil(newest * window_N / 8)
  end
  local passed = part_N - newest
  for i = 1, 9 - passed do
    counts_N[i] = stored[i + passed + 1]
  end
  fresh_N = passed > 0
end
local room_N = limit_N
for i = 1, 9 do
  room_N = room_N - counts_N[i]
end
--@wait
wait = -1
if n <= limit_N then
  local room = room_N
  for i = 1, 9 do
    room = room + counts_N[i]
    if n <= room then
      wait = ceil((part_N + i) * window_N / 8) - now
      break
    end
  end
end
--@charge
counts_N[9], room_N = counts_N[9] + charged, room_N - charged
--@refund
local i = 9 + floor(moment * 8 / window_N) - part_N
if counts_N[i] then
  counts_N[i], given = math.max(0, counts_N[i] - amount), given + 1
end
--@value
value_N = pack_value('>I6I4I4I4I4I4I4I4I4I4', part_N, unpack(counts_N))
ends_N = ceil((part_N + 9) * window_N / 8)
