-- Leaves a note for other processes. The key goes with the last of them.
-- KEYS: meta, notes
-- ARGV: note, how many are kept at most, for how long (seconds)
local kept_for = tonumber(ARGV[3])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'n', ARGV[1])
local oldest = (tonumber(redis.call('TIME')[1]) - kept_for) * 1000
redis.call('XTRIM', KEYS[2], 'MINID', string.format('%.0f', oldest))
redis.call('EXPIRE', KEYS[2], kept_for)
return 1
