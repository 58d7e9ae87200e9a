-- No pod runs; offsets and everything learnt are kept.
obj.spec.desiredState = "Paused"
return obj
