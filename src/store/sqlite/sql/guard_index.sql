-- The index that makes the poll cheap. On the state, because SQLite uses a partial index for literals only, and the poll
-- binds its states.
CREATE INDEX {{guard_index}} ON {{table_unqualified}} ({{state}});
