-- Appends one record, unless the request was executed before.
-- KEYS: meta, log, request
-- ARGV: digest of the request, record, how long to remember the request (seconds)
-- Answers {outcome, era, seq}. Everything that can be refused comes before the first write.
local known = redis.call('GET', KEYS[3])
if known then
  local era, seq, digest = string.match(known, '^(%d+) (%d+) (%x+)$')
  return {digest == ARGV[1] and 'repeated' or 'reused', era, seq}
end
local meta = redis.call('HMGET', KEYS[1], 'era', 'seq', 'checkpoint')
if not meta[1] then return {'gone', false, false} end
if redis.call('EXISTS', KEYS[2]) == 0 and meta[2] ~= meta[3] then return {'gone', false, false} end
-- A double is exact up to 2^53.
local seq = string.format('%.0f', tonumber(meta[2]) + 1)
redis.call('XADD', KEYS[2], seq .. '-0', 'r', ARGV[2])
redis.call('HSET', KEYS[1], 'seq', seq)
redis.call('SET', KEYS[3], meta[1] .. ' ' .. seq .. ' ' .. ARGV[1], 'EX', ARGV[3])
return {'appended', meta[1], seq}
