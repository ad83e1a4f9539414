-- Counts of eighths of the window, the oldest first. An interval of a window's length touches at most nine in a row, and all
-- nine are counted whole. They are locals, because to make a table of nine takes longer than all the rest.
--@read
local part_N = floor(now * 8 / window_N)
local held_N, fresh_N, a_N, b_N, c_N, d_N, e_N, f_N, g_N, h_N, i_N = now, true, 0, 0, 0, 0, 0, 0, 0, 0, 0
if value_N and #value_N == 42 then
  local newest, counts = unpack_value('>I6', value_N), value_N
  if newest > part_N then
    -- the beginning of that part, to the first whole millisecond
    part_N, held_N = newest, ceil(newest * window_N / 8)
  end
  local passed = part_N - newest
  if passed < 9 then
    fresh_N = passed > 0
    if fresh_N then counts = value_N .. string.rep('\0', passed * 4) end
    a_N, b_N, c_N, d_N, e_N, f_N, g_N, h_N, i_N = unpack_value('>I4I4I4I4I4I4I4I4I4', counts, 7 + passed * 4)
  end
end
local room_N = limit_N - a_N - b_N - c_N - d_N - e_N - f_N - g_N - h_N - i_N
--@wait
wait = -1
if n <= limit_N then
  -- how many parts have to pass
  local room, parts = room_N + a_N, 1
  if n > room then room, parts = room + b_N, 2 end
  if n > room then room, parts = room + c_N, 3 end
  if n > room then room, parts = room + d_N, 4 end
  if n > room then room, parts = room + e_N, 5 end
  if n > room then room, parts = room + f_N, 6 end
  if n > room then room, parts = room + g_N, 7 end
  if n > room then room, parts = room + h_N, 8 end
  if n > room then parts = 9 end
  wait = ceil((part_N + parts) * window_N / 8) - now
end
--@charge
i_N, room_N = i_N + charged, room_N - charged
--@refund
local part = 9 + floor(moment * 8 / window_N) - part_N
local counts = { a_N, b_N, c_N, d_N, e_N, f_N, g_N, h_N, i_N }
if counts[part] then
  counts[part], given = math.max(0, counts[part] - amount), given + 1
  a_N, b_N, c_N, d_N, e_N, f_N, g_N, h_N, i_N = unpack(counts)
end
--@value
value_N = pack_value('>I6I4I4I4I4I4I4I4I4I4', part_N, a_N, b_N, c_N, d_N, e_N, f_N, g_N, h_N, i_N)
ends_N = ceil((part_N + 9) * window_N / 8)
