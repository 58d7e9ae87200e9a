-- Stores verdicts in the place of nothing or of a claim; a verdict stays as it is.
-- KEYS: results. ARGV: seconds, first byte of claims, verdicts...
for i, key in ipairs(KEYS) do
  local stored = redis.call('GETRANGE', key, 0, 0)
  if stored == '' or stored == ARGV[2] then redis.call('SET', key, ARGV[i + 2], 'EX', ARGV[1]) end
end
