-- The type of a column (attribute), or the one that its domain is made over, through all the domains between, with its length: that
-- stands with the domain that is made over the type itself.
WITH RECURSIVE under AS (
    SELECT attribute.atttypid AS oid, attribute.atttypmod AS modifier
     UNION ALL
    SELECT domain.typbasetype, domain.typtypmod FROM under JOIN pg_catalog.pg_type AS domain ON domain.oid OPERATOR(pg_catalog.=) under.oid
     WHERE domain.typtype OPERATOR(pg_catalog.=) 'd')
SELECT bottom.oid, bottom.typname AS name, under.modifier FROM under JOIN pg_catalog.pg_type AS bottom ON bottom.oid OPERATOR(pg_catalog.=) under.oid
 WHERE bottom.typtype OPERATOR(pg_catalog.<>) 'd'
