-- A key of another type is not ours. It is replaced when there is something to write.
local is_foreign = stored.err ~= nil
