-- Shows locks. KEYS: for each lock: the lock, its queue, its fence.
-- Answers for each lock {value, ms left, waiters, fence}, and at the end Redis's time in ms.
local shown = {}
for n = 1, #KEYS / 3 do
  local lock = KEYS[3 * n - 2]
  local fence = tonumber(redis.call('GET', KEYS[3 * n])) or 0
  shown[n] = {redis.call('GET', lock) or '', redis.call('PTTL', lock), redis.call('LLEN', KEYS[3 * n - 1]), fence}
end
local time = redis.call('TIME')
return {shown, time[1] * 1000 + math.floor(time[2] / 1000)}
