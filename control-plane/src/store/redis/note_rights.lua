-- Which commands for notes the access rules of the server forbid. Writes nothing.
-- KEYS: meta
-- ARGV: the key of the notes, which the script may not be allowed to have as one of its keys
if not redis.acl_check_cmd then return {} end
local forbidden = {}
local function check(command, ...)
  if not redis.acl_check_cmd(command, ...) then forbidden[#forbidden + 1] = command end
end
check('XADD', ARGV[1], '*', 'n', '')
check('XTRIM', ARGV[1], 'MAXLEN', '0')
check('EXPIRE', ARGV[1], '1')
check('XREAD', 'STREAMS', ARGV[1], '0')
return forbidden
