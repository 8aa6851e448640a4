-- KEYS: one per limit. ARGV: the unit's id, how many units, then per limit the interval in us, or 0
-- for an exact log. Takes an admission back.
for i, key in ipairs(KEYS) do
  local interval = tonumber(ARGV[2 + i])
  if interval == 0 then
    for n = 1, tonumber(ARGV[2]) do redis.call('ZREM', key, ARGV[1] .. ':' .. n) end
  else
    local paid = redis.call('GET', key)
    if paid then
      local back = string.format('%.0f', tonumber(paid) - tonumber(ARGV[2]) * interval)
      redis.call('SET', key, back, 'KEEPTTL')
    end
  end
end
return 1
