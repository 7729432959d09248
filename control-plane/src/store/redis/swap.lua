-- Replaces a document if it is still the one that the caller knows; '' is no document.
-- KEYS: document, meta
-- ARGV: old content, new content, when the document may be forgotten (unix seconds or ''),
--       era and seq where the log must end ('' for anywhere)
-- Returns 'written' also after an earlier execution of the same call.
local held = redis.call('GET', KEYS[1]) or ''
if held == ARGV[2] then return 'written' end
if held ~= ARGV[1] then return 'changed' end
if ARGV[4] ~= '' then
  local meta = redis.call('HMGET', KEYS[2], 'era', 'seq')
  if meta[1] ~= ARGV[4] or meta[2] ~= ARGV[5] then return 'moved' end
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
elseif ARGV[3] == '' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'EXAT', ARGV[3])
end
return 'written'
