-- Begins a log if there is none, and may raise the format of one that is older.
-- KEYS: meta, log, checkpoint
-- ARGV: first era ('' to begin none), format that this version writes, '1' to raise an older one
-- Returns {whether there is a log now, since when it has this format (unix seconds, '0' for always)}.
if redis.call('EXISTS', KEYS[1]) == 1 then
  if ARGV[3] == '1' and tonumber(format or '1') < tonumber(ARGV[2]) then
    redis.call('HSET', KEYS[1], 'format', ARGV[2], 'format_since', redis.call('TIME')[1],
      'large', redis.call('HGET', KEYS[1], 'seq'))
  end
  return {1, redis.call('HGET', KEYS[1], 'format_since') or '0'}
end
if ARGV[1] == '' or redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then return {0, '0'} end
redis.call('HSET', KEYS[1], 'era', ARGV[1], 'seq', '0', 'mark', '0', 'checkpoint', '0',
  'checkpoint_mark', '0', 'digest', '', 'format', ARGV[2], 'format_since', '0', 'large', '0')
return {1, '0'}
