-- Claims each id that has neither a claim nor a verdict; answers with what was there before.
-- KEYS: results. ARGV: the claim, seconds.
local before = {}
for i, key in ipairs(KEYS) do
  before[i] = redis.call('GET', key)
  if not before[i] then redis.call('SET', key, ARGV[1], 'EX', ARGV[2]) end
end
return before
