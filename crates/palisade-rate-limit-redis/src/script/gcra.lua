-- The generic cell rate algorithm. Its theoretical arrival time is kept as a moment and the debt that it is ahead of that
-- moment. A request costs window / limit milliseconds, which is seldom whole, so a debt is counted in the limit's parts of a
-- millisecond: a request owes `window` of them, and `limit` of them are paid off each millisecond.
--@read
if limit_N == 0 then burst_N = 0 end
local held_N, debt_N, fresh_N = now, 0, true
if value_N and #value_N == 18 then
  local at, debt, limit = unpack_value('>I6I8I4', value_N)
  if limit ~= limit_N and limit > 0 then
    -- The limit was changed: the same time, in other parts. More than a full burst is as good as a full one.
    local longest = limit_N > 0 and ceil(burst_N * window_N / limit_N) or 0
    debt = math.min(ceil(debt / limit), longest) * limit_N
  end
  if at > now then
    held_N, debt_N = at, debt
  elseif limit_N > 0 and now - at < ceil(debt / limit_N) then
    debt_N = debt - (now - at) * limit_N
  end
end
local room_N = floor((burst_N * window_N - debt_N) / window_N)
--@wait
if n > burst_N then
  wait = -1
else
  wait = held_N - now + ceil((debt_N + n * window_N - burst_N * window_N) / limit_N)
end
--@charge
debt_N = debt_N + charged * window_N
room_N = floor((burst_N * window_N - debt_N) / window_N)
--@refund
-- As much as surely has not flowed off yet: what came later must not be forgiven in its place.
local owed, passed = math.min(amount, burst_N) * window_N, math.max(0, held_N - moment)
if limit_N > 0 and passed < ceil(owed / limit_N) then
  debt_N, given = math.max(0, debt_N - (owed - passed * limit_N)), given + 1
end
--@value
value_N = pack_value('>I6I8I4', held_N, debt_N, limit_N)
ends_N = held_N + (limit_N > 0 and ceil(debt_N / limit_N) or 0)
