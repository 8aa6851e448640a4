-- KEYS: locks. ARGV: the owner's token.
-- Answers a flag for each key: 1 released, 0 not the owner's any more.
local released = {}
for i, key in ipairs(KEYS) do
  released[i] = redis.call('GET', key) == ARGV[1] and redis.call('DEL', key) or 0
end
return released
