-- Health of an AnomalyPipeline from the conditions of its status.
local status = obj.status or {}
if status.observedGeneration == nil then
  return { status = "Progressing", message = "The operator has not looked at it yet" }
end
if status.observedGeneration < obj.metadata.generation then
  return { status = "Progressing", message = "The operator has not looked at the last change yet" }
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local function is(type, value)
  return conditions[type] ~= nil and conditions[type].status == value
end
local function health(health, condition)
  local message = condition.reason .. ": " .. condition.message
  if health == "Degraded" and is("Available", "True") then
    message = message .. " (still serving)"
  end
  return { status = health, message = message }
end

local ready = conditions.Ready
if is("Stalled", "True") then
  return health("Degraded", conditions.Stalled)
end
if ready.reason == "Paused" or ready.reason == "ReconcileDisabled" then
  return health("Suspended", ready)
end
if ready.status == "True" then
  return health("Healthy", ready)
end
if is("Reconciling", "True") then
  return health("Progressing", ready)
end
return health("Degraded", ready)
