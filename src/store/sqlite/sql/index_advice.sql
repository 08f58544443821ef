-- The index that makes finding running jobs cheap, as `check` and the API advise it. On the state: SQLite uses a partial index
-- for literals only, and the states are bound. It needs a name. Printed for an administrator, never run here.
CREATE INDEX {{index}} ON {{table}} ({{state}})
