/* beatwarden: running plan */
-- Returns how rows in some states would be found, as the planner has it. Reads no row; waits for a session that holds the table, as
-- every planning does.
EXPLAIN (FORMAT JSON) SELECT FROM {{table}} AS target WHERE {{states}}
