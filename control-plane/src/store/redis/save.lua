-- Writes a document if it still has the version that it was loaded with.
-- KEYS: document
-- ARGV: version, bytes, nonce of this call
-- Answers 1 if it is written, also if by an earlier execution of the same call.
local document = redis.call('HMGET', KEYS[1], 'version', 'nonce')
if document[2] == ARGV[3] then return 1 end
if (document[1] or '0') ~= ARGV[1] then return 0 end
local version = string.format('%.0f', tonumber(ARGV[1]) + 1)
redis.call('HSET', KEYS[1], 'version', version, 'bytes', ARGV[2], 'nonce', ARGV[3])
return 1
