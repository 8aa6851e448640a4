-- Reads a limit. KEYS and ARGV describe it. Answers {used, of how many, ms until it is all free,
-- factor in thousandths, ms that everything waits, ms that campaigns wait}; changes nothing but what
-- has run out.
local limit = read(1, 1)
local used, free_in
if limit.paced then
  used = math.ceil((limit.paid - clock) / limit.interval)
  free_in = limit.paid - clock
else
  used = limit.used
  free_in = used > 0 and entry(limit, 0, 'ZREVRANGE') + limit.window - clock or 0
end
local function left(at) return math.max(0, math.ceil((at - clock) / 1000)) end
local stop = limit.kind == 'lanes' and moment(redis.call('HGET', limit.side, 'stop'), HOUR) or 0
return {
  used, tonumber(limit.most or '') or 0, math.ceil(free_in / 1000),
  math.floor(limit.factor * 1000), left(limit.blocked), left(stop),
}
