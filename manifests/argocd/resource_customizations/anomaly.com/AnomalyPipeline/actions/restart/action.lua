-- The pods roll, one at a time.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["anomaly.com/restart-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
