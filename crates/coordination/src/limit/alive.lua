-- KEYS: the processes that ask limits. ARGV: this process, and for how long a sign of life counts, in
-- us. Answers how many are alive.
local time = redis.call('TIME')
local clock, counts = time[1] * 1000000 + time[2], tonumber(ARGV[2])
local function us(number) return string.format('%.0f', number) end
redis.call('ZADD', KEYS[1], us(clock), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', us(clock - counts))
-- Written under a clock that went back since.
redis.call('ZREMRANGEBYSCORE', KEYS[1], us(clock + counts), '+inf')
redis.call('PEXPIRE', KEYS[1], math.ceil(counts / 1000))
return redis.call('ZCARD', KEYS[1])
