-- ARGV: cursor, the pattern of a policy's keys, the position of the kind's letter in a key, and the
-- window in us. Answers the next cursor, then per key found: the key, 'log' or 'pace', units used (of
-- a pace: its debt in us), ms until all is free, and what the limit was last set to (0: unknown).
local prefix, at, window = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local found = redis.call('SCAN', ARGV[1], 'MATCH', prefix, 'COUNT', 500)
local answer = {found[1]}
local function put(key, kind, used, free_in)
  local learnt = key:sub(1, at - 1) .. 'a' .. key:sub(at + 1)
  local most = redis.call('TYPE', learnt).ok == 'hash' and redis.call('HGET', learnt, 'most') or '0'
  for _, part in ipairs({key, kind, us(used), us(math.ceil(free_in / 1000)), most or '0'}) do
    answer[#answer + 1] = part
  end
end
for _, key in ipairs(found[2]) do
  if key:sub(at, at) == 'r' then
    local used = redis.call('ZCOUNT', key, us(clock - window), '+inf')
    local newest = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2]
    if used > 0 then put(key, 'log', used, tonumber(newest) + window - clock) end
  else
    local debt = moment(redis.call('GET', key), HOUR) - clock
    if debt > 0 then put(key, 'pace', debt, debt) end
  end
end
return answer
