-- The time that a test sets.
local now = tonumber(ARGV[#ARGV])
