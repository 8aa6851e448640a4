-- KEYS: locks. ARGV: the owner's token, then a ttl in ms for each key.
-- Answers a flag for each key: 1 taken, 0 held by somebody else.
local taken = {}
for i, key in ipairs(KEYS) do
  taken[i] = redis.call('SET', key, ARGV[1], 'NX', 'PX', ARGV[i + 1]) and 1 or 0
end
return taken
