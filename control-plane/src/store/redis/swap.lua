-- Puts a document in the place of the one that the caller knows; '' is no document.
-- KEYS: document
-- ARGV: what the caller knows, what shall stand there, when it may be forgotten (unix seconds or '')
-- Answers 1 if it stands there, also if by an earlier execution of the same call.
local held = redis.call('GET', KEYS[1]) or ''
if held == ARGV[2] then return 1 end
if held ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
elseif ARGV[3] == '' then
  redis.call('SET', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[2], 'EXAT', ARGV[3])
end
return 1
