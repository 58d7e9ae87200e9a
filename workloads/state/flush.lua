-- Writes profiles, last features and partition state unless a newer owner holds the partition.
-- KEYS: partition, profiles..., features...
-- ARGV: epoch, number of this flush, last acknowledged flush of the epoch, seconds to keep profiles, seconds to keep
--       features, number of profiles, partition state ('' = unchanged), values of profiles..., of features...
-- Answers 0 fenced, 1 written, 2 written where what was there before is missing.
local stored = redis.call('HMGET', KEYS[1], 'epoch', 'flush')
local stored_epoch, stored_flush = tonumber(stored[1] or -1), tonumber(stored[2] or 0)
local epoch, flush, acknowledged = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

if stored_epoch > epoch then return 0 end
-- Came late, over a connection given up: what was sent after it is here.
if stored_epoch == epoch and stored_flush >= flush then return 0 end

local profiles = tonumber(ARGV[6])
for i = 2, #KEYS do
  redis.call('SET', KEYS[i], ARGV[i + 6], 'EX', i - 1 <= profiles and ARGV[4] or ARGV[5])
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'flush', ARGV[2])
if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 'state', ARGV[7]) end

if stored_epoch == -1 then return 2 end
if acknowledged > 0 and (stored_epoch < epoch or stored_flush < acknowledged) then return 2 end
return 1
