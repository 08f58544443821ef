-- The newest rows of the table by key, $2 at most, with the columns of the canonical relation alone: it stands where the
-- table's name does. Backwards by the key's unique index; rows without a key would come first.
(SELECT {{columns}} FROM {{table}} WHERE {{id}} IS NOT NULL ORDER BY {{id}} DESC LIMIT $2)
