-- One connection's next slots for several messages, each with a limit of its own or none.
-- KEYS: the connection's, then each message's. ARGV: the unit's id, how many messages, the
-- connection's description and the number it was set to, then per message '-' or 'own' and a
-- description. Answers what the connection has used and its factor (both in thousandths), then five
-- numbers per message: granted: 1, delay in us, 0, paid before, paid after; denied: 0, wait in ms,
-- which limit binds (1 the connection's, 2 its own), 0, 0.
local unit, count = ARGV[1], tonumber(ARGV[2])
local line, key = read(3, 1) -- `key`: how many keys it has
local setting = ARGV[12]
local at, answer, longest = 13, {0, 0}, 0
key = key + 1
for i = 1, count do
  local own, keys = nil, 0
  if ARGV[at] == 'own' then
    own, keys = read(at + 1, key)
    at, key = at + 10, key + keys
  else
    at = at + 1
  end
  local for_line, for_own = late(line, 1), own and late(own, 1) or 0
  local base = 2 + (i - 1) * 5
  if for_line > 0 or for_own > 0 then
    local is_own = for_own > for_line
    if not is_own then longest = math.max(longest, for_line) end
    answer[base + 1], answer[base + 2] = 0, math.ceil(math.max(for_line, for_own) / 1000)
    answer[base + 3], answer[base + 4], answer[base + 5] = is_own and 2 or 1, 0, 0
  else
    local delay = take(line, 1, unit, i)
    if own then
      take(own, 1, unit, i)
      save(own)
    end
    answer[base + 1], answer[base + 2], answer[base + 3] = 1, delay, 0
    answer[base + 4], answer[base + 5] = line.before or 0, line.paid or 0
  end
end
if longest > 0 then turned_away(line, longest) end
save(line, setting)
local debt = line.paced and (line.paid - clock) / (line.horizon + line.top * line.interval)
  or line.used / math.max(line.top, 1)
answer[1], answer[2] = math.floor(debt * 1000), math.floor(line.factor * 1000)
return answer
