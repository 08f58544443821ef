-- The newest rows in a success state (?1, a JSON array), ?2 at most, with the columns of the canonical relation alone: it
-- stands where the table's name does. Backwards by an index that begins with {{newest_by}}; without one it scans the table.
(SELECT {{columns}} FROM {{table}} AS good
  WHERE good.{{state}} IN (SELECT value FROM json_each(?1)) AND good.{{newest_by}} IS NOT NULL
  ORDER BY good.{{newest_by}} DESC LIMIT ?2)
