-- Replaces the log by a checkpoint under a new era.
-- KEYS: meta, log, checkpoint
-- ARGV: expected era, new era, checkpoint's seq, its bytes, its digest, nonce of this call,
--       era that a log begins with
-- Answers 1 if it is done, also if by an earlier execution of the same call.
local meta = redis.call('HMGET', KEYS[1], 'era', 'seq', 'nonce')
if meta[3] == ARGV[6] then return 1 end
if (meta[1] or ARGV[7]) ~= ARGV[1] then return 0 end
if tonumber(ARGV[2]) <= tonumber(ARGV[1]) then return 0 end
if tonumber(meta[2] or '0') > tonumber(ARGV[3]) then return 0 end
redis.call('SET', KEYS[3], ARGV[4])
redis.call('HSET', KEYS[1], 'era', ARGV[2], 'seq', ARGV[3], 'checkpoint', ARGV[3],
  'digest', ARGV[5], 'nonce', ARGV[6])
redis.call('UNLINK', KEYS[2])
return 1
