-- Empties the places of names; answers with those that there were.
-- KEYS: list of names, hash of when each was used. ARGV: names...
local forgotten = {}
for i, name in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  for _, given in ipairs(ARGV) do
    if name ~= '' and name == given then
      redis.call('LSET', KEYS[1], i - 1, '')
      redis.call('HDEL', KEYS[2], name)
      forgotten[#forgotten + 1] = name
    end
  end
end
return forgotten
