-- A key of another type is replaced when there is something to write. Any other error, as that of a user without the right to
-- read, must not be taken for a key without counts.
if stored.err and not string.find(stored.err, 'WRONGTYPE', 1, true) then return stored end
