-- Appends records in order, each unless its request was executed before.
-- KEYS: meta, log, then a request for each record
-- ARGV: for each record: digest of its request, record, how long to remember the request (seconds)
-- Answers {'gone'} or {'appended', then for each record: outcome, era, seq}. Everything that
-- can be refused comes before the first write.
local meta = redis.call('HMGET', KEYS[1], 'era', 'seq', 'checkpoint')
local whole = meta[1] and (meta[2] == meta[3] or redis.call('EXISTS', KEYS[2]) == 1)
local answer, seq, written = {'appended'}, tonumber(meta[2] or 0), false
for place = 3, #KEYS do
  local digest, record, memory = unpack(ARGV, (place - 3) * 3 + 1, (place - 3) * 3 + 3)
  local known = redis.call('GET', KEYS[place])
  if known then
    local era, known_seq, known_digest = string.match(known, '^(%d+) (%d+) (%x+)$')
    answer[#answer + 1] = known_digest == digest and 'repeated' or 'reused'
    answer[#answer + 1] = era
    answer[#answer + 1] = known_seq
  else
    if not whole then return {'gone'} end
    -- A double is exact up to 2^53.
    seq = seq + 1
    local text = string.format('%.0f', seq)
    redis.call('XADD', KEYS[2], text .. '-0', 'r', record)
    redis.call('SET', KEYS[place], meta[1] .. ' ' .. text .. ' ' .. digest, 'EX', memory)
    answer[#answer + 1] = 'appended'
    answer[#answer + 1] = meta[1]
    answer[#answer + 1] = text
    written = text
  end
end
if written then redis.call('HSET', KEYS[1], 'seq', written) end
return answer
