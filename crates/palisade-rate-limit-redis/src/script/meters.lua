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

-- Exact: where the quotient of two integers below 2^53 is not an integer, rounding does not make it one.
local function ceil_div(a, b)
  return -floor(-a / b)
end

-- `tostring` rounds to 14 digits.
local function text(...)
  local parts = { ... }
  for i, number in ipairs(parts) do
    parts[i] = string.format('%.0f', number)
  end
  return table.concat(parts, ' ')
end

local function numbers(value, count)
  local found = {}
  for digits in string.gmatch(value, '%d+') do
    found[#found + 1] = tonumber(digits)
  end
  if #found ~= count then
    error('this is not a count of palisade: ' .. value)
  end
  return found
end

local METERS = {}

-- Two counts, of this window and of the one before, of which the part counts that the last window's length covers.
METERS.s = {
  read = function(m, value)
    m.index = floor(now / m.window)
    m.held, m.before, m.count = now, 0, 0
    if not value then return end
    local index, before, count = unpack(numbers(value, 3))
    if index > m.index then
      -- the beginning of a window, when the one before weighs most
      m.index, m.held, m.before, m.count = index, index * m.window, before, count
    elseif index == m.index then
      m.before, m.count = before, count
    elseif index == m.index - 1 then
      m.before = count
    end
  end,
  room = function(m)
    local left = (m.index + 1) * m.window - m.held
    return floor((m.limit * m.window - m.count * m.window - m.before * left) / m.window)
  end,
  wait = function(m, n)
    if n > m.limit then return nil end
    if n <= METERS.s.room(m) then return 0 end
    if m.count + n <= m.limit then
      -- as soon as the window before weighs little enough
      local overlap = floor((m.limit - m.count - n) * m.window / m.before)
      return (m.index + 1) * m.window - overlap - now
    end
    -- this window has to become the one before, and then to weigh little enough
    local overlap = min(m.window, floor((m.limit - n) * m.window / m.count))
    return (m.index + 2) * m.window - overlap - now
  end,
  charge = function(m, n)
    m.count = m.count + n
  end,
  refund = function(m, n, moment)
    local index = floor(moment / m.window)
    if index == m.index then
      m.count = max(0, m.count - n)
    elseif index == m.index - 1 then
      m.before = max(0, m.before - n)
    else
      return false
    end
    return true
  end,
  value = function(m)
    return text(m.index, m.before, m.count)
  end,
  ends = function(m)
    return (m.index + 2) * m.window
  end,
}

-- One count, of this window.
METERS.f = {
  read = function(m, value)
    m.index = floor(now / m.window)
    m.held, m.count = now, 0
    if not value then return end
    local index, count = unpack(numbers(value, 2))
    if index > m.index then
      m.index, m.held, m.count = index, index * m.window, count
    elseif index == m.index then
      m.count = count
    end
  end,
  room = function(m)
    return m.limit - m.count
  end,
  wait = function(m, n)
    if n > m.limit then return nil end
    if m.count + n <= m.limit then return 0 end
    return (m.index + 1) * m.window - now
  end,
  charge = function(m, n)
    m.count = m.count + n
  end,
  refund = function(m, n, moment)
    if floor(moment / m.window) ~= m.index then return false end
    m.count = max(0, m.count - n)
    return true
  end,
  value = function(m)
    return text(m.index, m.count)
  end,
  ends = function(m)
    return (m.index + 1) * m.window
  end,
}

-- Eighths of the window. An interval of a window's length touches at most nine in a row, and all nine are counted whole.
local PARTS, COUNTED = 8, 9

METERS.t = {
  part = function(m, time)
    return floor(time * PARTS / m.window)
  end,
  -- When a part begins, to the first whole millisecond.
  begins = function(m, part)
    return ceil_div(part * m.window, PARTS)
  end,
  read = function(m, value)
    m.part, m.held, m.counts = METERS.t.part(m, now), now, {}
    local newest, stored = m.part, nil
    if value then
      stored = numbers(value, COUNTED + 1)
      newest = stored[1]
      if newest > m.part then
        m.part, m.held = newest, METERS.t.begins(m, newest)
      end
    end
    -- the oldest first
    for i = 1, COUNTED do
      local at = i + m.part - newest
      m.counts[i] = stored and at <= COUNTED and stored[at + 1] or 0
    end
  end,
  room = function(m)
    local used = 0
    for i = 1, COUNTED do
      used = used + m.counts[i]
    end
    return m.limit - used
  end,
  wait = function(m, n)
    if n > m.limit then return nil end
    local room = METERS.t.room(m)
    if n <= room then return 0 end
    for i = 1, COUNTED do
      room = room + m.counts[i]
      if n <= room then
        return METERS.t.begins(m, m.part + i) - now
      end
    end
  end,
  charge = function(m, n)
    m.counts[COUNTED] = m.counts[COUNTED] + n
  end,
  refund = function(m, n, moment)
    local i = COUNTED + METERS.t.part(m, moment) - m.part
    if not m.counts[i] then return false end
    m.counts[i] = max(0, m.counts[i] - n)
    return true
  end,
  value = function(m)
    return text(m.part, unpack(m.counts))
  end,
  ends = function(m)
    return METERS.t.begins(m, m.part + COUNTED)
  end,
}

-- The generic cell rate algorithm. Its theoretical arrival time is kept as a moment and the debt that it is ahead of that
-- moment. A request costs window / limit milliseconds, which is seldom whole, so a debt is counted in the limit's parts of a
-- millisecond: a request owes `window` of them, and `limit` of them are paid off each millisecond.
METERS.g = {
  read = function(m, value)
    if m.limit == 0 then m.burst = 0 end
    m.held, m.debt = now, 0
    if not value then return end
    local at, debt, limit = unpack(numbers(value, 3))
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
  end,
  room = function(m)
    return floor((m.burst * m.window - m.debt) / m.window)
  end,
  wait = function(m, n)
    if n > m.burst then return nil end
    if n <= METERS.g.room(m) then return 0 end
    return m.held - now + ceil_div(m.debt + n * m.window - m.burst * m.window, m.limit)
  end,
  charge = function(m, n)
    m.debt = m.debt + n * m.window
  end,
  refund = function(m, n, moment)
    -- As much as surely has not flowed off yet: what came later must not be forgiven in its place.
    local owed = min(n, m.burst) * m.window
    local passed = max(0, m.held - moment)
    if m.limit == 0 or passed >= ceil_div(owed, m.limit) then return false end
    m.debt = max(0, m.debt - (owed - passed * m.limit))
    return true
  end,
  value = function(m)
    return text(m.held, m.debt, m.limit)
  end,
  ends = function(m)
    return m.held + (m.limit > 0 and ceil_div(m.debt, m.limit) or 0)
  end,
}

-- The time of each request, the oldest first, in six bytes each.
local WIDTH = 6

METERS.l = {
  at = function(m, i)
    local time = 0
    for _, byte in ipairs({ string.byte(m.log, (i - 1) * WIDTH + 1, i * WIDTH) }) do
      time = time * 256 + byte
    end
    return time
  end,
  count = function(m)
    return #m.log / WIDTH
  end,
  read = function(m, value)
    m.log, m.held = value or '', now
    if #m.log % WIDTH ~= 0 then
      error('this is not a log of palisade')
    end
    local first, last = 1, METERS.l.count(m)
    if last > 0 then
      m.held = max(now, METERS.l.at(m, last))
    end
    -- the first that still counts
    while first <= last do
      local middle = floor((first + last) / 2)
      if METERS.l.at(m, middle) > m.held - m.window then
        last = middle - 1
      else
        first = middle + 1
      end
    end
    m.log = string.sub(m.log, (first - 1) * WIDTH + 1)
  end,
  room = function(m)
    return m.limit - METERS.l.count(m)
  end,
  wait = function(m, n)
    if n > m.limit then return nil end
    local leaving = METERS.l.count(m) + n - m.limit
    if leaving <= 0 then return 0 end
    return METERS.l.at(m, leaving) + m.window - now
  end,
  charge = function(m, n)
    local bytes, time = {}, m.held
    for i = WIDTH, 1, -1 do
      bytes[i] = time % 256
      time = floor(time / 256)
    end
    m.log = m.log .. string.rep(string.char(unpack(bytes)), n)
  end,
  refund = function(m, n, moment)
    local first, last = nil, nil
    for i = METERS.l.count(m), 1, -1 do
      local at = METERS.l.at(m, i)
      if at < moment or (last and last - i == n) then break end
      if at == moment then
        first, last = i, last or i
      end
    end
    if not first then return false end
    m.log = string.sub(m.log, 1, (first - 1) * WIDTH) .. string.sub(m.log, last * WIDTH + 1)
    return true
  end,
  value = function(m)
    return m.log
  end,
  ends = function(m)
    return m.held + m.window
  end,
}

-- The meter of the i-th key. Before the quotas, which take four arguments each, the script has two of its own.
local function read(i)
  local at = 2 + 4 * (i - 1)
  local m = {
    meter = METERS[ARGV[at + 1]],
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
  redis.call('SET', KEYS[i], m.meter.value(m), 'PX', text(lifetime))
end
