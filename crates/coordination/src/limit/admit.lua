-- KEYS: those of each limit, all in one slot. ARGV: the unit's id, how many units, 'all' or 'some',
-- how many limits, then each limit's description and the number it was set to.
-- Answers {granted, wait in ms, which limit binds (from 1)} and per limit what a paced one was paid
-- up to before and after. All limits admit, or none is charged.
local unit, asked, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local need = ARGV[3] == 'all' and asked or math.min(asked, 1)
local limits, wait, binding, key = {}, 0, 0, 1
for i = 1, count do
  local limit, keys = read(5 + (i - 1) * 10, key)
  limit.setting, key = ARGV[5 + i * 10 - 1], key + keys
  -- This unit was admitted already and still counts.
  limit.is_known = not limit.paced and redis.call('ZSCORE', limit.key, unit .. ':1')
  local lateness = limit.is_known and 0 or late(limit, need)
  if lateness > 0 and lateness >= wait then wait, binding = lateness, i end
  limits[i] = limit
end

local answer = {0, math.ceil(wait / 1000), binding}
if binding > 0 then
  for _, limit in ipairs(limits) do
    turned_away(limit, wait)
    save(limit, limit.setting)
  end
  return answer
end

local granted = asked
for _, limit in ipairs(limits) do
  local free = asked
  if need < asked and limit.paced then
    free = math.floor((clock + limit.horizon + limit.early - limit.paid) / limit.interval)
  elseif need < asked then
    free = limit.ceiling - limit.used
  end
  granted = math.min(granted, math.max(free, 0))
end
answer[1] = granted
for i, limit in ipairs(limits) do
  if not limit.is_known then take(limit, granted, unit, 1) end
  save(limit, limit.setting)
  answer[2 + 2 * i], answer[3 + 2 * i] = limit.before or 0, limit.paid or 0
end
return answer
