-- Learns from an answer of Meta's. KEYS: what the limit has learnt. ARGV: 'slow', 'pair' or 'stop',
-- and how long Meta asked to wait, in us. Answers {the factor in thousandths, waits in ms}.
local side, asked = KEYS[1], tonumber(ARGV[2])
local function keep(name, at) redis.call('HSET', side, name, us(at)) end

if ARGV[1] == 'pair' then
  local learnt = redis.call('HMGET', side, 'until', 'tries')
  local till, tries = moment(learnt[1], HOUR), tonumber(learnt[2] or '0')
  -- What was in flight when the pair was pushed back says nothing new.
  if till <= clock then
    till = clock + math.max(asked, 4 ^ math.min(tries, 5) * 1000000)
    keep('until', till)
    redis.call('HSET', side, 'tries', tries + 1)
  end
  local wait = till - clock
  -- Forgotten when the pair stays quiet as long again.
  redis.call('PEXPIRE', side, math.ceil(math.max(2 * wait, 10000000) / 1000))
  return {1000, math.ceil(wait / 1000)}
end

local learnt = redis.call('HMGET', side, 'cut_to', 'good', 'cut_at', 'pause', 'stop')
local cut_at, left, wait = moment(learnt[3], 1000000), 1, 0
left = factor(tonumber(learnt[1] or '1'), tonumber(learnt[2] or '1'), cut_at)
if ARGV[1] == 'slow' then
  if clock - cut_at >= 1000000 then
    redis.call('HSET', side, 'good', left)
    left = math.max(0.05, left * 0.7)
    redis.call('HSET', side, 'cut_to', left)
    keep('cut_at', clock)
  end
  wait = math.max(PAUSE, asked)
  keep('pause', math.max(moment(learnt[4], HOUR), clock + wait))
else
  wait = math.max(600000000, asked)
  keep('stop', math.max(moment(learnt[5], HOUR), clock + wait))
end
redis.call('PEXPIRE', side, math.ceil(HOUR / 1000))
return {math.floor(left * 1000), math.ceil(wait / 1000)}
