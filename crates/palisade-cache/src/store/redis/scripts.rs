//! What runs on the server. The first key of each script is the state of a shard, a hash:
//!
//! | field | value |
//! | --- | --- |
//! | `e` | the epoch: a name that no other state has had. If the state is lost, so is each entry |
//! | `n` | the number of purges |
//! | `a` | the number of the last purge of everything |
//! | others | paths and tags: the number of their last purge |
//!
//! A mark is `epoch number time`: the state when the service was asked. A purge whose number is greater concerns the response, so
//! that a purge takes one step on the server, however many responses it removes.

use std::sync::LazyLock;

use palisade_redis::Script;

/// Returns whether a purge since a mark concerns a response of these paths and tags.
const IS_PURGED: &str = "
local function is_purged(epoch, number, fields)
  local state = redis.call('HMGET', KEYS[1], 'e', 'a')
  if state[1] ~= epoch then return true end
  if state[2] and tonumber(state[2]) > tonumber(number) then return true end
  for field in string.gmatch(fields, '%S+') do
    local last = redis.call('HGET', KEYS[1], field)
    if last and tonumber(last) > tonumber(number) then return true end
  end
  return false
end
";

/// Two functions: `now` returns the time in milliseconds, and `touch` creates the state if it is missing.
const STATE: &str = "
local function now()
  local time = redis.call('TIME')
  return string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), time
end
local function touch(kept)
  local _, time = now()
  redis.call('HSETNX', KEYS[1], 'e', time[1] .. '.' .. time[2])
  redis.call('PEXPIRE', KEYS[1], kept)
end
";

/// Keys: the state, a resource. Argument: a variant, or nothing.
///
/// Returns the record of the variant. Without an argument, of the only one; if there are several, `i` and their list.
pub(super) static FIND: LazyLock<Script> = LazyLock::new(|| {
    let text = "
local id = ARGV[1]
if id == '' then
  local index, variants = redis.call('HGETALL', KEYS[2]), {}
  for i = 1, #index, 2 do
    if index[i] ~= 'k' then variants[#variants + 1] = index[i] .. index[i + 1] end
  end
  if #variants == 0 then return false end
  if #variants > 1 then return 'i' .. table.concat(variants) end
  id = string.sub(variants[1], 1, 22)
end
local key = KEYS[2] .. ':' .. id
local entry = redis.call('HMGET', key, 'e', 'n', 'w', 'r')
if entry[1] and not is_purged(entry[1], entry[2], entry[3]) then return entry[4] end
redis.call('DEL', key)
redis.call('HDEL', KEYS[2], id)
return false
";
    Script::new([IS_PURGED, text].concat())
});

/// Keys: the state, a flight. Arguments: a token or nothing, the lease and the time that a state is kept, in milliseconds.
///
/// Returns `l` and a mark if the flight is that of the caller, `w` if another machine has it, `a` and a mark if the last response
/// was not one to share.
pub(super) static DEPART: LazyLock<Script> = LazyLock::new(|| {
    let text = "
touch(ARGV[3])
local state = redis.call('HMGET', KEYS[1], 'e', 'n')
local mark = state[1] .. ' ' .. (state[2] or '0') .. ' ' .. now()
if ARGV[1] == '' then return 'a' .. mark end
local held = redis.call('GET', KEYS[2])
if held == 'x' then return 'a' .. mark end
if held and held ~= ARGV[1] then return 'w' end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 'l' .. mark
";
    Script::new([STATE, text].concat())
});

/// Key: a flight. Arguments: its token, and for how long other machines do not wait for each other, in milliseconds.
pub(super) static LAND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lost' end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], 'x', 'PX', ARGV[2])
end
return 'done'
",
    )
});

/// Keys: the state, a resource. Arguments: a mark, a variant, the fields it depends on, its paths and tags, its record, how long
/// it is kept, the greatest number of variants, and the longest time that the service may take.
pub(super) static INSERT: LazyLock<Script> = LazyLock::new(|| {
    let text = "
local epoch, number, asked = string.match(ARGV[1], '^(%S+) (%S+) (%S+)$')
local time, kept = now(), tonumber(ARGV[6])
local removed = redis.call('HGET', KEYS[2], 'k')
if is_purged(epoch, number, ARGV[4]) then return 'purged' end
if removed and tonumber(removed) > tonumber(number) then return 'purged' end
-- the mark of a removal may have expired
if time - asked > tonumber(ARGV[8]) then return 'late' end
local key = KEYS[2] .. ':' .. ARGV[2]
local other = redis.call('HMGET', key, 'e', 's')
if other[1] == epoch and tonumber(other[2]) > tonumber(asked) then return 'older' end
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then
  local index, count, oldest, since = redis.call('HGETALL', KEYS[2]), 0, nil, nil
  for i = 1, #index, 2 do
    if index[i] ~= 'k' then
      count = count + 1
      local stored = string.sub(index[i + 1], 1, 13)
      if not since or stored < since then oldest, since = index[i], stored end
    end
  end
  if count >= tonumber(ARGV[7]) then
    redis.call('DEL', KEYS[2] .. ':' .. oldest)
    redis.call('HDEL', KEYS[2], oldest)
  end
end
redis.call('HSET', key, 'e', epoch, 'n', number, 's', asked, 'w', ARGV[4], 'r', ARGV[5])
redis.call('PEXPIRE', key, kept)
redis.call('HSET', KEYS[2], ARGV[2], time .. ARGV[3])
if redis.call('PTTL', KEYS[2]) < kept then redis.call('PEXPIRE', KEYS[2], kept) end
return 'done'
";
    Script::new([STATE, IS_PURGED, text].concat())
});

/// Key: the state. Arguments: a path or tag, or nothing for everything; the time that a state is kept; the greatest number of
/// paths and tags. A state with more of them is purged as a whole.
pub(super) static PURGE: LazyLock<Script> = LazyLock::new(|| {
    let text = "
touch(ARGV[2])
local number = redis.call('HINCRBY', KEYS[1], 'n', 1)
if ARGV[1] ~= '' and redis.call('HLEN', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[1], ARGV[1], number)
  return 'done'
end
local epoch = redis.call('HGET', KEYS[1], 'e')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'e', epoch, 'n', number, 'a', number)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 'done'
";
    Script::new([STATE, text].concat())
});

/// Keys: the state, a resource. Arguments: the time that a state is kept, and the longest time that the service may take: for
/// that long the resource remembers the removal.
pub(super) static REMOVE: LazyLock<Script> = LazyLock::new(|| {
    let text = "
touch(ARGV[1])
local number = redis.call('HINCRBY', KEYS[1], 'n', 1)
for _, id in ipairs(redis.call('HKEYS', KEYS[2])) do
  if id ~= 'k' then redis.call('DEL', KEYS[2] .. ':' .. id) end
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'k', number)
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 'done'
";
    Script::new([STATE, text].concat())
});
