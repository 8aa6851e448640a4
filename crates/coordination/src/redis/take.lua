-- Takes locks, or joins their queues.
-- KEYS: for each lock: the lock, its queue, its fence.
-- ARGV: the owner's value, `all` or `each`, then for each lock: the ttl in ms, 1 when fenced, the
-- entry for the queue (empty: do not wait).
-- Answers for each lock {1, fence or 0} when it is the owner's now, {0, ms until it is free at most}.
if #KEYS == 3 and ARGV[5] == '' and redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[3]) then
  -- The fast way: one lock, and it was free.
  if ARGV[4] ~= '1' then
    return {{1, 0}}
  end
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local text = string.format('%.0f', now)
  local before = tonumber(redis.call('SET', KEYS[3], text, 'PX', '3600000', 'GET') or 0)
  if before >= now then
    now = before + 1
    redis.call('SET', KEYS[3], string.format('%.0f', now), 'PX', '3600000')
  end
  return {{1, now}}
end
local FENCE_KEPT = 3600000 -- 1 hour: longer than any holder lives, and than a clock goes back
local value = ARGV[1]
local holders, is_any_busy = {}, false
for n = 1, #KEYS / 3 do
  holders[n] = redis.call('GET', KEYS[3 * n - 2])
  is_any_busy = is_any_busy or (holders[n] and holders[n] ~= value)
end
local takes = ARGV[2] == 'each' or not is_any_busy
local function fence(n)
  local before = tonumber(redis.call('GET', KEYS[3 * n])) or 0
  if holders[n] == value and before > 0 then
    return before
  end
  local time = redis.call('TIME')
  local now = math.max(before + 1, time[1] * 1000000 + time[2])
  redis.call('SET', KEYS[3 * n], string.format('%.0f', now), 'PX', FENCE_KEPT)
  return now
end
local answer = {}
for n = 1, #KEYS / 3 do
  local lock, queue = KEYS[3 * n - 2], KEYS[3 * n - 1]
  local ttl, is_fenced, entry = ARGV[3 * n], ARGV[3 * n + 1] == '1', ARGV[3 * n + 2]
  if takes and (not holders[n] or holders[n] == value) then
    answer[n] = {1, is_fenced and fence(n) or 0}
    redis.call('SET', lock, value, 'PX', ttl)
    if entry ~= '' then
      redis.call('LREM', queue, 0, entry)
    end
  else
    answer[n] = {0, math.max(redis.call('PTTL', lock), 0)}
    if entry ~= '' and holders[n] and holders[n] ~= value then
      if not redis.call('LPOS', queue, entry) then
        redis.call('RPUSH', queue, entry)
      end
      redis.call('PEXPIRE', queue, ttl + 5000)
    end
  end
end
return answer
