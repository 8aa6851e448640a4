-- What the scripts of limits share; put in front of each. Only Redis's clock is read.
--
-- A limit is described by nine arguments: 'log' or 'pace'; its ceiling in units (of a paced limit:
-- the burst); the highest lane's ceiling; window, interval and horizon in us; 'plain', 'pair' or
-- 'lanes'; the lane (1 agent, 2 chatbot, 3 reminder, 4 campaign); most units of a twelfth of the
-- window (0: any). Its keys: the log or pace, and for 'pair' and 'lanes' what was learnt.
local time = redis.call('TIME')
local clock = time[1] * 1000000 + time[2]

local BULK, CAMPAIGN = 3, 4
local TURNS, FULL_CREDIT, GRACE = 4, 40, 350000
local PARTS, HOUR, PAUSE = 12, 3600000000, 500000

local function us(number) return string.format('%.0f', number) end

-- A moment that was written down; one from another age (the clock went back) is forgotten.
local function moment(text, farthest)
  local at = tonumber(text or '') or 0
  return at <= clock + farthest and at or 0
end

-- What Meta's throttling leaves of the rate: cut at once, back to 85 % of the last good rate in two
-- seconds, then cubic, so that it stays near what worked and probes ever faster.
local function factor(cut_to, good, cut_at)
  if cut_at == 0 then return 1 end
  local quiet = (clock - cut_at - PAUSE) / 1000000
  if quiet <= 0 then return cut_to end
  local near = math.max(cut_to, 0.85 * good)
  if quiet < 2 then return cut_to + (near - cut_to) * quiet / 2 end
  return math.min(1, near + ((quiet - 2) / 10) ^ 3)
end

local function read_lanes(limit)
  local learnt = redis.call('HMGET', limit.side,
    'cut_to', 'good', 'cut_at', 'pause', 'stop', 'credit', 'want', 'most')
  local cut_at = moment(learnt[3], 1000000)
  limit.factor = factor(tonumber(learnt[1] or '1'), tonumber(learnt[2] or '1'), cut_at)
  limit.blocked = moment(learnt[4], HOUR)
  if limit.lane == CAMPAIGN then
    limit.blocked = math.max(limit.blocked, moment(learnt[5], HOUR))
  end
  limit.want = moment(learnt[7], limit.window + GRACE)
  limit.bulk_waits = limit.want > clock
  limit.stored = tonumber(learnt[6] or '') or FULL_CREDIT
  -- Turns only count while both classes want something.
  limit.credit = limit.bulk_waits and limit.stored or FULL_CREDIT
  limit.most = learnt[8]
end

local function read_log(limit)
  local newest = redis.call('ZREVRANGE', limit.key, 0, 0, 'WITHSCORES')[2]
  if newest and tonumber(newest) > clock then
    -- The clock went back: stay at the newest entry, or forget a log from another age.
    if tonumber(newest) > clock + limit.window then
      redis.call('DEL', limit.key)
    else
      limit.now = tonumber(newest)
    end
  end
  redis.call('ZREMRANGEBYSCORE', limit.key, '-inf', us(limit.now - limit.window))
  limit.used = redis.call('ZCARD', limit.key)
end

-- Reads the limit described from ARGV[at] on, whose first key is KEYS[key].
-- Returns it with the number of its keys.
local function read(at, key)
  local limit = {
    paced = ARGV[at] == 'pace', ceiling = tonumber(ARGV[at + 1]), top = tonumber(ARGV[at + 2]),
    window = tonumber(ARGV[at + 3]), interval = tonumber(ARGV[at + 4]),
    horizon = tonumber(ARGV[at + 5]), kind = ARGV[at + 6], lane = tonumber(ARGV[at + 7]),
    part = tonumber(ARGV[at + 8]), key = KEYS[key], now = clock, factor = 1, blocked = 0,
  }
  local keys = 1
  if limit.kind ~= 'plain' then
    keys, limit.side = 2, KEYS[key + 1]
    if limit.kind == 'lanes' then
      read_lanes(limit)
    else
      limit.blocked = moment(redis.call('HGET', limit.side, 'until'), HOUR)
    end
  end
  if limit.paced then
    limit.interval = math.ceil(limit.interval / limit.factor)
    -- A debt beyond two windows was written under another clock.
    local paid = moment(redis.call('GET', limit.key), math.max(2 * limit.window, HOUR))
    limit.paid = math.max(paid, clock)
  else
    read_log(limit)
  end
  return limit, keys
end

local function entry(limit, rank, order)
  return tonumber(redis.call(order, limit.key, rank, rank, 'WITHSCORES')[2] or us(clock))
end

local function late_of_log(limit, need, ceiling, part)
  local wait = 0
  if limit.factor < 1 then
    ceiling = math.max(math.min(ceiling, 1), math.floor(ceiling * limit.factor))
    part = math.ceil(ceiling / PARTS)
  end
  if need > ceiling then return limit.window end
  local over = limit.used + need - ceiling
  if over > 0 then wait = entry(limit, over - 1, 'ZRANGE') + limit.window - clock end
  local at_once = math.min(need, part)
  if part > 0 and limit.used > part - at_once then
    local last = entry(limit, part - at_once, 'ZREVRANGE')
    wait = math.max(wait, last + math.ceil(limit.window / PARTS) - clock)
  end
  return wait
end

-- Whether an interactive lane takes what bulk waits for: beyond bulk's own ceiling.
local function crowds_bulk_out(limit, need)
  if not limit.bulk_waits or limit.lane >= BULK then return false end
  if limit.paced then
    return limit.paid - clock + (need - 1) * limit.interval > limit.horizon
  end
  return limit.used + need > 0.9 * limit.top * limit.factor
end

-- How long until `need` units fit, in us; 0 or less when they fit now.
local function late(limit, need)
  local wait, ceiling, part = limit.blocked - clock, limit.ceiling, limit.part
  if limit.kind == 'lanes' then
    if limit.lane >= BULK and limit.credit < 1 then ceiling, part = limit.top, 0 end
    -- Four turns of five are the interactive lanes' while bulk waits; then it is bulk's turn.
    limit.crowds = crowds_bulk_out(limit, need)
    if limit.crowds and limit.credit < need then wait = math.max(wait, limit.want - clock) end
  end
  if not limit.paced then return math.max(wait, late_of_log(limit, need, ceiling, part)) end
  limit.early = ceiling * limit.interval
  local most_ahead = limit.horizon + limit.early
  if need * limit.interval > most_ahead then return math.max(wait, limit.window) end
  return math.max(wait, limit.paid - clock + need * limit.interval - most_ahead)
end

local function take_turns(limit, units)
  if limit.lane >= BULK then
    limit.credit = math.min(FULL_CREDIT, limit.credit + TURNS * units)
  elseif limit.crowds then
    limit.credit = math.max(0, limit.credit - units)
  end
end

-- Charges `units`; those of a log become entries of `unit`, numbered from `first`.
-- Answers how long to wait before the last of them is used, in us.
local function take(limit, units, unit, first)
  local delay = 0
  if limit.paced then
    limit.before = limit.paid
    limit.paid = limit.paid + units * limit.interval
    if limit.lane >= BULK then delay = math.max(0, limit.paid - limit.early - clock) end
  else
    for n = first, first + units - 1 do redis.call('ZADD', limit.key, us(limit.now), unit .. ':' .. n) end
    limit.used = limit.used + units
  end
  limit.is_charged = true
  if limit.kind == 'lanes' then take_turns(limit, units) end
  return delay
end

-- Bulk that has to wait says so, and until when.
local function turned_away(limit, wait)
  if limit.kind == 'lanes' and limit.lane >= BULK and limit.blocked <= clock then
    limit.want = math.max(limit.want, clock + math.min(wait, limit.window) + GRACE)
    limit.is_waiting = true
  end
end

local function save(limit, most)
  if limit.is_charged and limit.paced then
    redis.call('SET', limit.key, us(limit.paid), 'PX', math.ceil((limit.paid - clock) / 1000) + 1)
  elseif limit.is_charged then
    redis.call('PEXPIRE', limit.key, math.ceil(limit.window / 1000) + 1)
  end
  if limit.kind ~= 'lanes' then return end
  if limit.credit ~= limit.stored or limit.is_waiting or limit.most ~= most then
    redis.call('HSET', limit.side, 'credit', limit.credit, 'want', us(limit.want), 'most', most)
    redis.call('PEXPIRE', limit.side, math.ceil(math.max(2 * limit.window, HOUR) / 1000))
  end
end
