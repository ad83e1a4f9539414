-- The time as a test tells it.
local now = tonumber(ARGV[#ARGV])
