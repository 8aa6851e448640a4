-- KEYS: one lock. ARGV: the owner's token, the ttl in ms. Answers 1, or 0 when it is not the owner's.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
