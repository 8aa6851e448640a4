-- KEYS: one per limit, all in one slot.
-- ARGV: the unit's id, how many units, 'all' or 'some', then per limit: 'log' or 'pace', the limit,
-- the window in us, and for 'pace' the burst and the interval in us (0 0 for 'log').
-- Answers {granted, wait in ms, which limit binds (from 1)}. All limits admit, or none is charged.
local time = redis.call('TIME')
local clock = time[1] * 1000000 + time[2]
local unit, asked = ARGV[1], tonumber(ARGV[2])
local need = ARGV[3] == 'all' and asked or 1
local function us(number) return string.format('%.0f', number) end

local limits, granted, wait, binding = {}, asked, 0, 0
for i, key in ipairs(KEYS) do
  local base = 4 + (i - 1) * 5
  local limit = {
    key = key, paced = ARGV[base] == 'pace', most = tonumber(ARGV[base + 1]),
    window = tonumber(ARGV[base + 2]), burst = tonumber(ARGV[base + 3]),
    interval = tonumber(ARGV[base + 4]), now = clock,
  }
  local free, late = 0, 0
  if limit.paced then
    local paid = tonumber(redis.call('GET', key) or '0')
    -- A debt beyond the whole window was written under another clock.
    if paid > clock + 2 * limit.window then paid = 0 end
    limit.paid = math.max(paid, clock)
    free = math.floor((clock + limit.burst * limit.interval - limit.paid) / limit.interval)
    late = limit.paid + (need - limit.burst) * limit.interval - clock
    -- More than the burst never fits at once: the longest honest answer.
    if need > limit.burst then late = limit.window end
  else
    local newest = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2]
    if newest and tonumber(newest) > clock then
      -- The clock went back: stay at the newest entry, or forget a log from another age.
      if tonumber(newest) > clock + limit.window then
        redis.call('DEL', key)
      else
        limit.now = tonumber(newest)
      end
    end
    redis.call('ZREMRANGEBYSCORE', key, '-inf', us(limit.now - limit.window))
    if redis.call('ZSCORE', key, unit .. ':1') then
      -- This unit was admitted already and still counts.
      limit.known = true
      free = asked
    else
      local used = redis.call('ZCARD', key)
      free = limit.most - used
      if free < need then
        local leaver = redis.call('ZRANGE', key, need - free - 1, need - free - 1, 'WITHSCORES')[2]
        late = leaver and (tonumber(leaver) + limit.window - limit.now) or limit.window
      end
    end
  end
  if free < need and late >= wait then wait, binding = late, i end
  granted = math.min(granted, math.max(free, 0))
  limits[i] = limit
end
if granted < need then return {0, math.ceil(wait / 1000), binding} end

for _, limit in ipairs(limits) do
  if limit.paced then
    local paid = limit.paid + granted * limit.interval
    redis.call('SET', limit.key, us(paid), 'PX', math.ceil((paid - clock) / 1000) + 1)
  elseif not limit.known then
    for n = 1, granted do redis.call('ZADD', limit.key, us(limit.now), unit .. ':' .. n) end
    redis.call('PEXPIRE', limit.key, math.ceil(limit.window / 1000) + 1)
  end
end
return {granted, 0, 0}
