-- Replaces the records up to a checkpoint by it. Changes nothing if the log has a newer one.
-- KEYS: meta, log, checkpoint
-- ARGV: era, checkpoint's seq, its bytes, its digest
local meta = redis.call('HMGET', KEYS[1], 'era', 'seq', 'checkpoint')
if meta[1] ~= ARGV[1] then return 0 end
local seq = tonumber(ARGV[2])
if seq <= tonumber(meta[3]) or seq > tonumber(meta[2]) then return 0 end
local entry = redis.call('XRANGE', KEYS[2], ARGV[2], ARGV[2], 'COUNT', 1)[1]
if not entry then return 0 end
redis.call('SET', KEYS[3], ARGV[3])
redis.call('HSET', KEYS[1], 'checkpoint', ARGV[2], 'digest', ARGV[4],
  'checkpoint_mark', string.match(entry[1], '-(%d+)$'))
redis.call('XTRIM', KEYS[2], 'MINID', string.format('%.0f', seq + 1) .. '-0')
return 1
