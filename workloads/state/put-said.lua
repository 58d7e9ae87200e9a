-- Keeps what was said of events last, and forgets the oldest.
-- KEYS: entries by event, events by the time at which it was said. ARGV: most events, then of each event its id, the time,
-- and the entry, '' for a withdrawal. An entry is stored behind the time of its withdrawal ('' = none) and a line feed.
for i = 2, #ARGV, 3 do
  local id, time, entry = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local stored = redis.call('HGET', KEYS[1], id)
  local said = tonumber(redis.call('ZSCORE', KEYS[2], id) or '-inf')
  local withdrawn = stored and tonumber(string.match(stored, '^[^\n]*'))
  if entry ~= '' then
    if (withdrawn or said) < tonumber(time) then
      redis.call('HSET', KEYS[1], id, '\n' .. entry)
      redis.call('ZADD', KEYS[2], time, id)
    end
  elseif stored and said <= tonumber(time) then
    redis.call('HSET', KEYS[1], id, time .. string.match(stored, '\n.*'))
  end
end
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[1])
if over > 0 then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, over - 1)) do redis.call('HDEL', KEYS[1], id) end
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, over - 1)
end
