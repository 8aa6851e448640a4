-- KEYS: locks. ARGV: for each lock its owner's value and its ttl in ms.
-- Answers a flag for each lock: 1 renewed, 0 not the owner's any more.
local renewed = {}
for n, lock in ipairs(KEYS) do
  local is_ours = redis.call('GET', lock) == ARGV[2 * n - 1]
  renewed[n] = is_ours and redis.call('PEXPIRE', lock, ARGV[2 * n]) or 0
end
return renewed
