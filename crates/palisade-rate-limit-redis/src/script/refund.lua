-- Gives back what was charged. Arguments: how much, and the moment of the charge. Reply: from how many quotas.
local amount, moment, given = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
for i = 1, #KEYS do
  local m, value = read(i)
  if value and m.meter.refund(m, amount, moment) then
    write(i, m)
    given = given + 1
  end
end
return { given }
