-- One count, of the current day or month of a time zone. The machine tells when four windows around its own time begin, and
-- the server's clock chooses among them, so that machines whose clocks differ a little count in the same window.
--@read
if now < start_N or now >= fourth_N then
  -- What such a machine wrote could count for years.
  return redis.error_reply('PALISADE the clocks of machine and server differ by more than a day')
end
if now >= third_N then
  start_N, stop_N = third_N, fourth_N
elseif now >= stop_N then
  start_N, stop_N = stop_N, third_N
end
local held_N, count_N, fresh_N = now, 0, true
if value_N and #value_N == 10 then
  local start, count = unpack_value('>I6I4', value_N)
  if start == start_N then
    count_N, fresh_N = count, false
  elseif start > start_N then
    -- The clock went backwards: the beginning of the later window.
    stop_N = start + stop_N - start_N
    start_N, held_N, count_N, fresh_N = start, start, count, false
  end
end
local room_N = limit_N - count_N
--@wait
wait = n > limit_N and -1 or stop_N - now
--@charge
count_N, room_N = count_N + charged, room_N - charged
--@refund
if moment >= start_N and moment < stop_N then
  count_N, given = math.max(0, count_N - amount), given + 1
end
--@value
value_N, ends_N = pack_value('>I6I4', start_N, count_N), stop_N
