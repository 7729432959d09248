-- Appends records in order, except those whose request was executed before.
-- KEYS: meta, log, then a request for each record
-- ARGV: era, seq and mark of a record that the log must contain ('' for any log), minimum seq of the
--       next record, random part of the marks (below 2^40), '1' if the caller waits for replicas,
--       size from which a record is large (bytes), then for each record: digest of its request,
--       record, how long to remember the request (seconds)
-- Returns {'moved'} or {'appended', seq and mark that the log ended with before, those that it ends
-- with now, era, then for each record its seq, 'reused', or 'era seq' of the earlier one}.
-- Everything that can be refused is checked before the first write.
local meta = redis.call('HMGET', KEYS[1], 'era', 'seq', 'mark', 'checkpoint', 'checkpoint_mark')
if not meta[1] then return {'moved'} end
if meta[2] ~= meta[4] and redis.call('EXISTS', KEYS[2]) == 0 then return {'moved'} end
if ARGV[1] ~= '' then
  local is_held = meta[1] == ARGV[1]
    and (meta[2] == ARGV[2] and meta[3] == ARGV[3]
      or meta[4] == ARGV[2] and meta[5] == ARGV[3]
      or #redis.call('XRANGE', KEYS[2], ARGV[2] .. '-' .. ARGV[3], ARGV[2] .. '-' .. ARGV[3]) == 1)
  if not is_held then return {'moved'} end
end
-- Doubles are exact up to 2^53; a mark counts records in its upper 12 of 52 bits.
local seq, ordinal = tonumber(meta[2]), math.floor(tonumber(meta[3]) / 2 ^ 40)
local least, chance = tonumber(ARGV[4]), tonumber(ARGV[5])
local large
local answer = {'appended', meta[2], meta[3], meta[2], meta[3], meta[1]}
for place = 3, #KEYS do
  local digest, record, memory = unpack(ARGV, (place - 3) * 3 + 8, (place - 3) * 3 + 10)
  local known = redis.call('GET', KEYS[place])
  if known then
    local era, known_seq, known_digest = string.match(known, '^(%d+) (%d+) (%x+)$')
    -- Without an answer for each record the caller takes the log for damaged.
    if era then answer[#answer + 1] = known_digest == digest and era .. ' ' .. known_seq or 'reused' end
  else
    seq, ordinal = math.max(seq + 1, least), (ordinal + 1) % 4096
    local text, mark = string.format('%.0f', seq), string.format('%.0f', ordinal * 2 ^ 40 + chance)
    redis.call('XADD', KEYS[2], text .. '-' .. mark, 'r', record)
    redis.call('SET', KEYS[place], meta[1] .. ' ' .. text .. ' ' .. digest, 'EX', memory)
    answer[#answer + 1] = text
    answer[4], answer[5] = text, mark
    if #record >= tonumber(ARGV[7]) then large = text end
  end
end
-- A process of an earlier format would not write it.
if large and tonumber(format or '1') >= 2 then redis.call('HSET', KEYS[1], 'large', large) end
-- A connection waits for the replicas of what it has written, so it writes even if nothing is new.
if answer[4] ~= meta[2] or ARGV[6] == '1' then
  redis.call('HSET', KEYS[1], 'seq', answer[4], 'mark', answer[5])
end
return answer
