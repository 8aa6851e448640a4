-- Takes an admission back. KEYS: one log or pace per limit. ARGV: the unit's id, its first and last
-- number, then per limit what it was paid up to before and after, or 0 0 for a log.
-- A pace is only taken back while nobody was admitted after it: moved behind others, the slot would
-- stand in a window that is full already. Answers how many limits took it back.
local back = 0
for i, key in ipairs(KEYS) do
  local before, after = ARGV[2 + 2 * i], ARGV[3 + 2 * i]
  if after == '0' then
    local gone = 0
    for n = tonumber(ARGV[2]), tonumber(ARGV[3]) do
      gone = gone + redis.call('ZREM', key, ARGV[1] .. ':' .. n)
    end
    back = back + math.min(gone, 1)
  elseif redis.call('GET', key) == after then
    redis.call('SET', key, before, 'KEEPTTL')
    back = back + 1
  end
end
return back
