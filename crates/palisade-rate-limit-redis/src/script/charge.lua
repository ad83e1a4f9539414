-- Charges all quotas or none. Arguments: the least and the most to charge. Reply: what was charged or -1, the moment, and
-- for each quota how much remains, the wait for more or -1, and the wait for the least or -1.
local cost, charged, moment = tonumber(ARGV[1]), tonumber(ARGV[2]), now
local meters, fits = {}, {}
for i = 1, #KEYS do
  local m = read(i)
  meters[i] = m
  fits[i] = m.meter.wait(m, cost) or -1
  charged = min(charged, m.meter.room(m))
  moment = max(moment, m.held)
end
if charged < cost then
  charged = -1
end

local reply = { charged, moment }
for i, m in ipairs(meters) do
  if charged > 0 then
    m.meter.charge(m, charged)
    write(i, m)
  end
  local remaining = max(0, m.meter.room(m))
  reply[#reply + 1] = remaining
  reply[#reply + 1] = m.meter.wait(m, remaining + 1) or -1
  reply[#reply + 1] = fits[i]
end
return reply
