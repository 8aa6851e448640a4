-- Takes whichever locks are free, without fences and queues: the first question of a batch.
-- KEYS: the locks. ARGV: the owner's value, then one ttl in ms for all, or one for each.
-- Answers only the exceptions: for each busy lock its place and the ms until it is free at most.
local value, call = ARGV[1], redis.call
local busy = {}
for n = 1, #KEYS do
  local lock, ttl = KEYS[n], ARGV[n + 1] or ARGV[2]
  if not call('SET', lock, value, 'NX', 'PX', ttl) then
    if call('GET', lock) == value then
      call('SET', lock, value, 'PX', ttl)
    else
      busy[#busy + 1] = n
      busy[#busy + 1] = math.max(call('PTTL', lock), 0)
    end
  end
end
return busy
