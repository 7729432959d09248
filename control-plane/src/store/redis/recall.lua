-- Reads how a request was answered before.
-- KEYS: request, meta
-- ARGV: '1' if the caller waits for replicas
-- Returns what is remembered, or false.
local known = redis.call('GET', KEYS[1])
if known and ARGV[1] == '1' then
  -- A connection waits for the replicas of what it has written, so it must write.
  local seq = redis.call('HGET', KEYS[2], 'seq')
  if seq then redis.call('HSET', KEYS[2], 'seq', seq) end
end
return known
