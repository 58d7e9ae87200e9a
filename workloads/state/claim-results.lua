-- Claims each id that has neither a claim nor a verdict, and takes over those of claimants that are gone, if the body is
-- the same; answers with what was there before, or with 2 and the place of what was taken over.
-- KEYS: the claimant, results. ARGV: mark of claims, id of the claimant, seconds of claims, seconds of the claimant,
-- what the names of claimants begin with, then of each result the fingerprint and the place.
redis.call('SET', KEYS[1], '', 'EX', ARGV[4])
local before = {}
for i = 2, #KEYS do
  local fingerprint, place = ARGV[2 * i + 2], ARGV[2 * i + 3]
  local stored = redis.call('GET', KEYS[i])
  before[i - 1] = stored
  if not stored then
    local claim = table.concat({ ARGV[1] .. ARGV[2], fingerprint, place }, '\n')
    redis.call('SET', KEYS[i], claim, 'EX', ARGV[3])
  elseif string.sub(stored, 1, 1) == ARGV[1] then
    -- Claims of an earlier release have no more than a claimant.
    local claimant, of, from = string.match(stored, '^.([^\n]*)\n([^\n]*)\n([^\n]*)$')
    if of == fingerprint and claimant ~= ARGV[2] and redis.call('EXISTS', ARGV[5] .. claimant) == 0 then
      local claim = table.concat({ ARGV[1] .. ARGV[2], fingerprint, from }, '\n')
      redis.call('SET', KEYS[i], claim, 'EX', ARGV[3])
      before[i - 1] = '\2' .. from
    end
  end
end
return before
