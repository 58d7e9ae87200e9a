-- Writes profiles, last features, partials and partition state unless a newer owner holds the partition.
-- KEYS: partition, index of risky values, profiles..., features..., values...
-- ARGV: epoch, number of this flush, last acknowledged flush of the epoch, seconds to keep profiles, seconds to keep
--       features, number of profiles, of profiles and features, of those and of values without risk, partition state
--       ('' = unchanged), the partition, what precedes the name of a value, names in the index at most,
--       values of profiles..., of features..., of partials...
-- Answers 0 fenced, 1 written, 2 written where what was there before is missing.
local stored = redis.call('HMGET', KEYS[1], 'epoch', 'flush')
local stored_epoch, stored_flush = tonumber(stored[1] or -1), tonumber(stored[2] or 0)
local epoch, flush, acknowledged = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

if stored_epoch > epoch then return 0 end
-- Came late, over a connection given up: what was sent after it is here.
if stored_epoch == epoch and stored_flush >= flush then return 0 end

local profiles, single, calm = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
for i = 1, single do
  redis.call('SET', KEYS[i + 2], ARGV[i + 12], 'EX', i <= profiles and ARGV[4] or ARGV[5])
end
for i = single + 1, #KEYS - 2 do
  redis.call('HSET', KEYS[i + 2], ARGV[10], ARGV[i + 12])
  redis.call('EXPIRE', KEYS[i + 2], ARGV[4])
end
if calm < #KEYS - 2 then
  local time = redis.call('TIME')
  local at = time[1] * 1000 + math.floor(time[2] / 1000)
  for i = calm + 1, #KEYS - 2 do redis.call('ZADD', KEYS[2], at, string.sub(KEYS[i + 2], #ARGV[11] + 1)) end
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -tonumber(ARGV[12]) - 1)
  redis.call('EXPIRE', KEYS[2], ARGV[4])
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'flush', ARGV[2])
if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'state', ARGV[9]) end

if stored_epoch == -1 then return 2 end
if acknowledged > 0 and (stored_epoch < epoch or stored_flush < acknowledged) then return 2 end
return 1
