-- Reads the newest records before a seq.
-- KEYS: meta, log
-- ARGV: before, limit, size of a page (bytes)
-- Returns {era, id of the oldest record or false, ids, records}, newest first.
local era = redis.call('HGET', KEYS[1], 'era')
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
local limit, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local last, size, ids, records = '(' .. ARGV[1] .. '-0', 0, {}, {}
-- One at a time if records are large, as when reading forward.
local count = 1
while #ids < limit and size < most do
  local entries =
    redis.call('XREVRANGE', KEYS[2], last, '-', 'COUNT', math.min(count, limit - #ids))
  if #entries == 0 then break end
  for _, entry in ipairs(entries) do
    last = '(' .. entry[1]
    ids[#ids + 1] = entry[1]
    records[#records + 1] = entry[2][2]
    size = size + #entry[2][2]
    if size >= most then break end
  end
  count = string.len(records[#records]) < 65536 and 8 or 1
end
return {era, first and first[1] or false, ids, records}
