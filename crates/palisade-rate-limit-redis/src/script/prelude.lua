-- Times are in milliseconds, and every number is an integer below 2^53, where doubles are exact; which limits and windows
-- keep it so is checked before they come here. Where the quotient of two such integers is not an integer, rounding does not
-- make it one, so that `floor` and `ceil` of it are exact.
--
-- Numbers come packed in the first argument: each further argument costs the server more than its part of `unpack_value`.
local call, floor, ceil = redis.call, math.floor, math.ceil
local pack_value, unpack_value = struct.pack, struct.unpack
local key = KEYS[1]
