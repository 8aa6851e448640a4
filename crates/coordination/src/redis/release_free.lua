-- Gives back the locks of one owner that nobody waits for, whatever their number in three calls.
-- KEYS: the locks, then the queue of each. ARGV: the owner's value.
-- Answers only the exceptions: the place of each lock that is not the owner's any more, and, below
-- zero, of each that has a queue: that one is untouched, `release.lua` hands it on.
local count, value = #KEYS / 2, ARGV[1]
local holders = redis.call('MGET', unpack(KEYS, 1, count))
local is_waited_for = redis.call('EXISTS', unpack(KEYS, count + 1)) > 0
local free, exceptions = {}, {}
for n = 1, count do
  if holders[n] ~= value then
    exceptions[#exceptions + 1] = n
  elseif is_waited_for and redis.call('EXISTS', KEYS[count + n]) == 1 then
    exceptions[#exceptions + 1] = -n
  else
    free[#free + 1] = KEYS[n]
  end
end
if #free > 0 then
  redis.call('DEL', unpack(free))
end
return exceptions
