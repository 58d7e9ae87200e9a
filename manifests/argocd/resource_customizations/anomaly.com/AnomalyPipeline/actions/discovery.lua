-- What a person may do with an AnomalyPipeline at present. While reconciling is disabled nothing would come of it.
local annotations = obj.metadata.annotations or {}
local ignored = annotations["anomaly.com/reconcile"] == "Disabled"
local paused = obj.spec.desiredState == "Paused"

return {
  ["pause"] = { ["disabled"] = ignored or paused },
  ["resume"] = { ["disabled"] = ignored or not paused },
  ["restart"] = { ["disabled"] = ignored or paused },
}
