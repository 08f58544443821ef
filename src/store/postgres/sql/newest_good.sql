-- The newest rows in a success state ($3), $2 at most, with the columns of the canonical relation alone: it stands where the
-- table's name does. Backwards by an index that begins with {{newest_by}}; without one it scans the table.
(SELECT {{columns}} FROM {{table}} AS good
  WHERE good.{{state}} OPERATOR(pg_catalog.=) ANY ($3::pg_catalog.text[]{{state_array}}) AND good.{{newest_by}} IS NOT NULL
  ORDER BY good.{{newest_by}} DESC LIMIT $2)
