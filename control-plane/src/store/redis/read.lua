-- Reads a stretch of the log and where it stands, as one consistent view.
-- KEYS: meta, log, checkpoint
-- ARGV: after, limit, size of a page (bytes), digest of the checkpoint that the caller has
-- Answers {era, seq, checkpoint's seq, its digest, its bytes if the caller has others, ids,
-- records, the server's time (unix seconds)}; the era is false where there is no log.
local time = redis.call('TIME')[1]
local meta = redis.call('HMGET', KEYS[1], 'era', 'seq', 'checkpoint', 'digest')
if not meta[1] then return {false, '0', '0', '', false, {}, {}, time} end
local checkpoint = false
if meta[4] ~= ARGV[4] then checkpoint = redis.call('GET', KEYS[3]) end
local after = ARGV[1]
if tonumber(meta[3]) > tonumber(after) then after = meta[3] end
local limit, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local last, size, ids, records = after .. '-0', 0, {}, {}
-- Eight at a time, but one by one where records are large: what the page has no room for was copied
-- for nothing, and a record may have tens of megabytes.
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
return {meta[1], meta[2], meta[3], meta[4], checkpoint, ids, records, time}
