-- The index that makes the poll cheap: on the key of the running rows, so that heartbeats don't touch it.
CREATE INDEX CONCURRENTLY {{guard_index}} ON {{table}} ({{id}}) WHERE {{is_running}};
