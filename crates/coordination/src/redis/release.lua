-- Gives locks back; each goes to the first in its queue who still listens.
-- KEYS: for each lock: the lock, its queue, its fence.
-- ARGV: PUBLISH or SPUBLISH, `release`, `leave` (the queue, too) or `break` (whoever's value begins
-- so), then for each lock the owner's value.
-- Answers for each lock: 1 released, 0 not the owner's any more; to `break` -1 when nobody had it.
if #KEYS == 3 and ARGV[2] == 'release' and redis.call('EXISTS', KEYS[2]) == 0 then
  -- The fast way: nobody waits.
  return {redis.call('GET', KEYS[1]) == ARGV[3] and redis.call('DEL', KEYS[1]) or 0}
end
local FENCE_KEPT = 3600000
local function next_fence(key)
  local time = redis.call('TIME')
  local before = tonumber(redis.call('GET', key)) or 0
  return string.format('%.0f', math.max(before + 1, time[1] * 1000000 + time[2]))
end
-- Moves the lock to the next waiter, in the same step in which it is told.
local function hand_on(lock, queue, fence_key)
  while true do
    local entry = redis.call('LPOP', queue)
    if not entry then
      return redis.call('DEL', lock)
    end
    local channel, ttl, is_fenced, name, value = entry:match('^(%S+) (%d+) (%d) (%S+) (.+)$')
    local fence = is_fenced == '1' and next_fence(fence_key) or '0'
    local message = fence .. ' ' .. value:sub(1, 32) .. ' ' .. name
    -- Nobody listens there: that process is dead.
    if redis.call(ARGV[1], channel, message) > 0 then
      redis.call('SET', lock, value, 'PX', ttl)
      if fence ~= '0' then
        redis.call('SET', fence_key, fence, 'PX', FENCE_KEPT)
      end
      return 1
    end
  end
end
local released = {}
for n = 1, #KEYS / 3 do
  local lock, queue, value = KEYS[3 * n - 2], KEYS[3 * n - 1], ARGV[n + 2]
  if ARGV[2] == 'leave' then
    for _, entry in ipairs(redis.call('LRANGE', queue, 0, -1)) do
      if entry:sub(-#value) == value then
        redis.call('LREM', queue, 0, entry)
      end
    end
  end
  local held = redis.call('GET', lock)
  if held == value or (ARGV[2] == 'break' and held and held:sub(1, #value) == value) then
    hand_on(lock, queue, KEYS[3 * n])
    released[n] = 1
  else
    released[n] = (ARGV[2] == 'break' and not held) and -1 or 0
  end
end
return released
