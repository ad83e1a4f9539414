-- How each algorithm counts. Times are in milliseconds, and every number is an integer below 2^53, where doubles are
-- exact; which limits and windows keep it so is checked before they come here.
--
-- A meter reads what is stored of a key and tells it at `now`. Where that was written later than now, because the clock
-- went backwards, time stands still until the clock has caught up (`held` is the time that holds then), so that a
-- clock never grants. After that:
--
--   room(m)              how many more fit now; less than none where the limit was lowered
--   wait(m, n)           how long until n more fit: 0 if they do, nil if they never will
--   charge(m, n)         counts n more
--   refund(m, n, moment) takes back n that were charged at that moment and still count; false if none do
--   value(m)             what to store
--   ends(m)              when it means nothing any more

local floor, max, min = math.floor, math.max, math.min
-- with '%.0f', because `tostring` rounds to 14 digits
local format = string.format

-- Exact: where the quotient of two integers below 2^53 is not an integer, rounding does not make it one.
local function ceil_div(a, b)
  return -floor(-a / b)
end

-- The numbers of a stored value, at most three.
local function numbers(value, pattern)
  local a, b, c = string.match(value, pattern)
  if not a then
    error('this is not a count of palisade: ' .. value)
  end
  return tonumber(a), tonumber(b), tonumber(c)
end

-- The algorithms by their letters. Each is made when it is first needed, because a script begins anew with each decision.
local METERS = {}

-- Two counts, of this window and of the one before, of which the part counts that the last window's length covers.
function METERS.s()
  local meter = {}
  function meter.read(m, value)
    m.index = floor(now / m.window)
    m.held, m.before, m.count = now, 0, 0
    if not value then return end
    local index, before, count = numbers(value, '^(%d+) (%d+) (%d+)$')
    if index > m.index then
      -- the beginning of a window, when the one before weighs most
      m.index, m.held, m.before, m.count = index, index * m.window, before, count
    elseif index == m.index then
      m.before, m.count = before, count
    elseif index == m.index - 1 then
      m.before = count
    end
  end
  function meter.room(m)
    local left = (m.index + 1) * m.window - m.held
    -- The weighted count is rounded down, as in memory.
    return m.limit - m.count - floor(m.before * left / m.window)
  end
  function meter.wait(m, n)
    if n > m.limit then return nil end
    if n <= meter.room(m) then return 0 end
    if m.count + n <= m.limit then
      -- as soon as the previous window counts as little enough: the largest overlap with
      -- before * overlap < (limit - count - n + 1) * window
      local overlap = ceil_div((m.limit - m.count - n + 1) * m.window, m.before) - 1
      return (m.index + 1) * m.window - overlap - now
    end
    -- this window has to become the previous one, and then to count as little enough
    local overlap = min(m.window, ceil_div((m.limit - n + 1) * m.window, m.count) - 1)
    return (m.index + 2) * m.window - overlap - now
  end
  function meter.charge(m, n)
    m.count = m.count + n
  end
  function meter.refund(m, n, moment)
    local index = floor(moment / m.window)
    if index == m.index then
      m.count = max(0, m.count - n)
    elseif index == m.index - 1 then
      m.before = max(0, m.before - n)
    else
      return false
    end
    return true
  end
  function meter.value(m)
    return format('%.0f %.0f %.0f', m.index, m.before, m.count)
  end
  function meter.ends(m)
    return (m.index + 2) * m.window
  end
  return meter
end

-- One count, of this window.
function METERS.f()
  local meter = {}
  function meter.read(m, value)
    m.index = floor(now / m.window)
    m.held, m.count = now, 0
    if not value then return end
    local index, count = numbers(value, '^(%d+) (%d+)$')
    if index > m.index then
      m.index, m.held, m.count = index, index * m.window, count
    elseif index == m.index then
      m.count = count
    end
  end
  function meter.room(m)
    return m.limit - m.count
  end
  function meter.wait(m, n)
    if n > m.limit then return nil end
    if m.count + n <= m.limit then return 0 end
    return (m.index + 1) * m.window - now
  end
  function meter.charge(m, n)
    m.count = m.count + n
  end
  function meter.refund(m, n, moment)
    if floor(moment / m.window) ~= m.index then return false end
    m.count = max(0, m.count - n)
    return true
  end
  function meter.value(m)
    return format('%.0f %.0f', m.index, m.count)
  end
  function meter.ends(m)
    return (m.index + 1) * m.window
  end
  return meter
end

-- Eighths of the window. An interval of a window's length touches at most nine in a row, and all nine are counted whole.
local PARTS, COUNTED = 8, 9

function METERS.t()
  local meter = {}
  function meter.part(m, time)
    return floor(time * PARTS / m.window)
  end
  -- When a part begins, to the first whole millisecond.
  function meter.begins(m, part)
    return ceil_div(part * m.window, PARTS)
  end
  function meter.read(m, value)
    m.part, m.held, m.counts = meter.part(m, now), now, {}
    local newest, stored = m.part, nil
    if value then
      stored = {}
      for digits in string.gmatch(value, '%d+') do
        stored[#stored + 1] = tonumber(digits)
      end
      if #stored ~= COUNTED + 1 then
        error('this is not a count of palisade: ' .. value)
      end
      newest = stored[1]
      if newest > m.part then
        m.part, m.held = newest, meter.begins(m, newest)
      end
    end
    -- the oldest first
    for i = 1, COUNTED do
      local at = i + m.part - newest
      m.counts[i] = stored and at <= COUNTED and stored[at + 1] or 0
    end
  end
  function meter.room(m)
    local used = 0
    for i = 1, COUNTED do
      used = used + m.counts[i]
    end
    return m.limit - used
  end
  function meter.wait(m, n)
    if n > m.limit then return nil end
    local room = meter.room(m)
    if n <= room then return 0 end
    for i = 1, COUNTED do
      room = room + m.counts[i]
      if n <= room then
        return meter.begins(m, m.part + i) - now
      end
    end
  end
  function meter.charge(m, n)
    m.counts[COUNTED] = m.counts[COUNTED] + n
  end
  function meter.refund(m, n, moment)
    local i = COUNTED + meter.part(m, moment) - m.part
    if not m.counts[i] then return false end
    m.counts[i] = max(0, m.counts[i] - n)
    return true
  end
  function meter.value(m)
    local parts = { format('%.0f', m.part) }
    for i = 1, COUNTED do
      parts[i + 1] = format('%.0f', m.counts[i])
    end
    return table.concat(parts, ' ')
  end
  function meter.ends(m)
    return meter.begins(m, m.part + COUNTED)
  end
  return meter
end

-- The generic cell rate algorithm. Its theoretical arrival time is kept as a moment and the debt that it is ahead of that
-- moment. A request costs window / limit milliseconds, which is seldom whole, so a debt is counted in the limit's parts of a
-- millisecond: a request owes `window` of them, and `limit` of them are paid off each millisecond.
function METERS.g()
  local meter = {}
  function meter.read(m, value)
    if m.limit == 0 then m.burst = 0 end
    m.held, m.debt = now, 0
    if not value then return end
    local at, debt, limit = numbers(value, '^(%d+) (%d+) (%d+)$')
    if limit ~= m.limit then
      -- The limit was changed: the same time, in other parts. More than a full burst is as good as a full one.
      local longest = m.limit > 0 and ceil_div(m.burst * m.window, m.limit) or 0
      debt = min(ceil_div(debt, limit), longest) * m.limit
    end
    if at > now then
      m.held, m.debt = at, debt
    elseif m.limit > 0 and now - at < ceil_div(debt, m.limit) then
      m.debt = debt - (now - at) * m.limit
    end
  end
  function meter.room(m)
    return floor((m.burst * m.window - m.debt) / m.window)
  end
  function meter.wait(m, n)
    if n > m.burst then return nil end
    if n <= meter.room(m) then return 0 end
    return m.held - now + ceil_div(m.debt + n * m.window - m.burst * m.window, m.limit)
  end
  function meter.charge(m, n)
    m.debt = m.debt + n * m.window
  end
  function meter.refund(m, n, moment)
    -- As much as surely has not flowed off yet: what came later must not be forgiven in its place.
    local owed = min(n, m.burst) * m.window
    local passed = max(0, m.held - moment)
    if m.limit == 0 or passed >= ceil_div(owed, m.limit) then return false end
    m.debt = max(0, m.debt - (owed - passed * m.limit))
    return true
  end
  function meter.value(m)
    return format('%.0f %.0f %.0f', m.held, m.debt, m.limit)
  end
  function meter.ends(m)
    return m.held + (m.limit > 0 and ceil_div(m.debt, m.limit) or 0)
  end
  return meter
end

-- The time of each request, the oldest first, in six bytes each.
local WIDTH = 6

function METERS.l()
  local meter = {}
  function meter.at(m, i)
    local time = 0
    for _, byte in ipairs({ string.byte(m.log, (i - 1) * WIDTH + 1, i * WIDTH) }) do
      time = time * 256 + byte
    end
    return time
  end
  function meter.count(m)
    return #m.log / WIDTH
  end
  function meter.read(m, value)
    m.log, m.held = value or '', now
    if #m.log % WIDTH ~= 0 then
      error('this is not a log of palisade')
    end
    local first, last = 1, meter.count(m)
    if last > 0 then
      m.held = max(now, meter.at(m, last))
    end
    -- the first that still counts
    while first <= last do
      local middle = floor((first + last) / 2)
      if meter.at(m, middle) > m.held - m.window then
        last = middle - 1
      else
        first = middle + 1
      end
    end
    m.log = string.sub(m.log, (first - 1) * WIDTH + 1)
  end
  function meter.room(m)
    return m.limit - meter.count(m)
  end
  function meter.wait(m, n)
    if n > m.limit then return nil end
    local leaving = meter.count(m) + n - m.limit
    if leaving <= 0 then return 0 end
    return meter.at(m, leaving) + m.window - now
  end
  function meter.charge(m, n)
    local bytes, time = {}, m.held
    for i = WIDTH, 1, -1 do
      bytes[i] = time % 256
      time = floor(time / 256)
    end
    m.log = m.log .. string.rep(string.char(unpack(bytes)), n)
  end
  function meter.refund(m, n, moment)
    local first, last = nil, nil
    for i = meter.count(m), 1, -1 do
      local at = meter.at(m, i)
      if at < moment or (last and last - i == n) then break end
      if at == moment then
        first, last = i, last or i
      end
    end
    if not first then return false end
    m.log = string.sub(m.log, 1, (first - 1) * WIDTH) .. string.sub(m.log, last * WIDTH + 1)
    return true
  end
  function meter.value(m)
    return m.log
  end
  function meter.ends(m)
    return m.held + m.window
  end
  return meter
end

-- The meter of the i-th key. Before the quotas, which take four arguments each, the script has two of its own.
local made = {}
local function read(i)
  local at = 2 + 4 * (i - 1)
  local letter = ARGV[at + 1]
  made[letter] = made[letter] or METERS[letter]()
  local m = {
    meter = made[letter],
    limit = tonumber(ARGV[at + 2]),
    window = tonumber(ARGV[at + 3]),
    burst = tonumber(ARGV[at + 4]),
  }
  local value = redis.call('GET', KEYS[i])
  m.meter.read(m, value)
  return m, value
end

-- The expiry is set with the value, in one command. It comes a second late, because the server decides by a clock that it
-- may have read before the script did whether a key has expired.
local function write(i, m)
  local lifetime = m.meter.ends(m) - now + 1000
  redis.call('SET', KEYS[i], m.meter.value(m), 'PX', format('%.0f', lifetime))
end
