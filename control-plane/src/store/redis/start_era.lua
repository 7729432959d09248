-- Replaces the log by a checkpoint under a new era.
-- KEYS: meta, log, checkpoint
-- ARGV: era, seq and mark that the log must end with, new era, checkpoint's seq, its bytes, its
--       digest, its mark, nonce of this call, era of a new log, format that this version writes
-- Returns 1 if it is done, also if an earlier execution of the same call did it.
local meta = redis.call('HMGET', KEYS[1], 'era', 'seq', 'mark', 'nonce')
if meta[4] == ARGV[9] then return 1 end
if (meta[1] or ARGV[10]) ~= ARGV[1] then return 0 end
if (meta[2] or '0') ~= ARGV[2] or (meta[3] or '0') ~= ARGV[3] then return 0 end
if tonumber(ARGV[4]) <= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[3], ARGV[6])
redis.call('HSET', KEYS[1], 'era', ARGV[4], 'seq', ARGV[5], 'mark', ARGV[8], 'checkpoint', ARGV[5],
  'checkpoint_mark', ARGV[8], 'digest', ARGV[7], 'nonce', ARGV[9], 'format', ARGV[11],
  'large', '0')
-- Also where the log was gone: a process of an earlier version may have been the first to find that.
if tonumber(format or '1') < tonumber(ARGV[11]) then
  redis.call('HSET', KEYS[1], 'format_since', redis.call('TIME')[1])
end
redis.call('UNLINK', KEYS[2])
return 1
