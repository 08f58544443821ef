-- The index that makes finding running jobs cheap, as `check` and the API advise it: on the key of the running rows, so that
-- heartbeats don't touch it. Printed for an administrator, never run here; the states are literals.
CREATE INDEX CONCURRENTLY ON {{table}} ({{id}}) WHERE {{state}} IN ({{running}})
