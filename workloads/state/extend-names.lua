-- Appends the names that are new as long as there is room, and answers with all.
-- KEYS: list of names. ARGV: most names, names...
local names = redis.call('LRANGE', KEYS[1], 0, -1)
local known = {}
for _, name in ipairs(names) do known[name] = true end
for i = 2, #ARGV do
  local name = ARGV[i]
  if not known[name] and #names < tonumber(ARGV[1]) then
    redis.call('RPUSH', KEYS[1], name)
    known[name] = true
    names[#names + 1] = name
  end
end
return names
