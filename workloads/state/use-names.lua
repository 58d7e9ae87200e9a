-- Marks names as used, and empties the places of those that were not for too long while others were; answers with all.
-- KEYS: list of names, hash of when each was used. ARGV: most ms without use, most ms that one call counts, names...
-- The hash has a clock of its own: it stands still while nobody uses anything.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local clock, at = string.match(redis.call('HGET', KEYS[2], '') or '', '^(%d+) (%d+)$')
clock = tonumber(clock or 0) + math.max(0, math.min(now - tonumber(at or now), tonumber(ARGV[2])))
redis.call('HSET', KEYS[2], '', string.format('%d %d', clock, now))
local used = {}
for i = 3, #ARGV do used[ARGV[i]] = true end
local names = redis.call('LRANGE', KEYS[1], 0, -1)
for i, name in ipairs(names) do
  if name ~= '' then
    local last = redis.call('HGET', KEYS[2], name)
    if used[name] or not last then
      redis.call('HSET', KEYS[2], name, string.format('%d', clock))
    elseif clock - tonumber(last) > tonumber(ARGV[1]) then
      redis.call('LSET', KEYS[1], i - 1, '')
      redis.call('HDEL', KEYS[2], name)
      names[i] = ''
    end
  end
end
return names
