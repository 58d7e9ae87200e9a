-- Appends the names that are new as long as there is room, and no more than may come in an hour; answers with all.
-- KEYS: list of names, how many are new in this hour. ARGV: most names, most new in an hour, names...
local names = redis.call('LRANGE', KEYS[1], 0, -1)
local length, known, count = #names, {}, 0
for _, name in ipairs(names) do
  known[name] = true
  if name ~= '' then count = count + 1 end
end
local left = length == 0 and tonumber(ARGV[1]) or tonumber(ARGV[2]) - tonumber(redis.call('GET', KEYS[2]) or 0)
local added = 0
for i = 3, #ARGV do
  local name = ARGV[i]
  -- Who has not heard yet that a name was forgotten has it where it was.
  local forgotten = i - 2 <= length and names[i - 2] == ''
  local room = count < tonumber(ARGV[1]) and #names < 2 * tonumber(ARGV[1]) and added < left
  if name ~= '' and not known[name] and not forgotten and room then
    redis.call('RPUSH', KEYS[1], name)
    known[name] = true
    names[#names + 1] = name
    count = count + 1
    added = added + 1
  end
end
if added > 0 and length > 0 then
  if redis.call('INCRBY', KEYS[2], added) == added then redis.call('EXPIRE', KEYS[2], 3600) end
end
return names
