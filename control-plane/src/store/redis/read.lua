-- Reads a stretch of the log and its end, as one consistent view.
-- KEYS: meta, log, checkpoint
-- ARGV: after, limit, size of a page (bytes), digest of the checkpoint that the caller has, '1' if a
--       replica may answer
-- Returns {era, seq, its mark, checkpoint's seq, its digest, its bytes if the caller has others, mark
-- of the record that the page begins after or false, seq of the last large record or false if that is
-- not known, ids, records, the server's time (unix seconds)}; the era is false if there is no log.
if ARGV[5] ~= '1' then
  -- A primary that became a replica after the connection was made keeps answering reads.
  local role = string.match(redis.call('INFO', 'replication'), 'role:(%a+)')
  if role ~= 'master' then
    return redis.error_reply('READONLY the role of the server is ' .. tostring(role))
  end
end
local time = redis.call('TIME')[1]
local meta =
  redis.call('HMGET', KEYS[1], 'era', 'seq', 'mark', 'checkpoint', 'checkpoint_mark', 'digest', 'large')
if not meta[1] then return {false, '0', '0', '0', '', false, '0', false, {}, {}, time} end
local checkpoint = false
if meta[6] ~= ARGV[4] then checkpoint = redis.call('GET', KEYS[3]) end
local after, mark = ARGV[1], false
if tonumber(meta[4]) >= tonumber(after) then
  after, mark = meta[4], meta[5]
else
  local entry = redis.call('XRANGE', KEYS[2], after, after, 'COUNT', 1)[1]
  if entry then mark = string.match(entry[1], '-(%d+)$') end
end
local limit, most = tonumber(ARGV[2]), tonumber(ARGV[3])
-- This is the last possible id, so nothing comes after it, and a range must not begin there.
if after == '18446744073709551615' then limit = 0 end
local last, size, ids, records = after .. '-18446744073709551615', 0, {}, {}
-- Eight at a time, but one at a time if records are large: copying what does not fit into the page
-- is wasted work, and a record may have tens of megabytes.
local count = 1
while #ids < limit and size < most do
  local most_entries = math.min(count, limit - #ids)
  local entries = redis.call('XRANGE', KEYS[2], '(' .. last, '+', 'COUNT', most_entries)
  if #entries == 0 then break end
  for _, entry in ipairs(entries) do
    last = entry[1]
    ids[#ids + 1] = last
    records[#records + 1] = entry[2][2]
    size = size + #entry[2][2]
    if size >= most then break end
  end
  count = string.len(records[#records]) < 65536 and 8 or 1
end
return {meta[1], meta[2], meta[3], meta[4], meta[6], checkpoint, mark, meta[7], ids, records, time}
