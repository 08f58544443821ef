/* beatwarden: ledger flaw */
-- Returns whether something bears the ledger's name (?1, in the schema ?2), and what is wrong with it, as a word and what it is
-- about, or NULL. ?3: its columns, a JSON array. A trigger that comes after the entry, as an audit does, is seen by the reading
-- back of the entry; one that comes before can keep an entry, or a note on it, from being written without an error. That is
-- what a trigger does whose time is not named.
WITH columns AS (SELECT name, pk FROM pragma_table_info(?1, ?2)),
     bearer AS (SELECT type FROM sqlite_schema WHERE lower(name) = lower(?1) AND type IN ('table', 'view')),
     triggers AS (SELECT name, upper(replace(replace(replace(sql, char(9), ' '), char(10), ' '), char(13), ' ')) AS sql
                    FROM sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower(?1))
SELECT EXISTS (SELECT 1 FROM columns),
       CASE WHEN (SELECT count(*) FROM columns WHERE name IN (SELECT value FROM json_each(?3))) < json_array_length(?3) THEN 'columns'
            WHEN (SELECT type FROM bearer) IS NOT 'table' THEN 'kind ' || coalesce((SELECT type FROM bearer), '')
            WHEN (SELECT group_concat(lower(name)) FROM columns WHERE pk > 0) IS NOT 'repair_id' THEN 'key'
            ELSE (SELECT 'trigger ' || name FROM triggers WHERE substr(sql, 1, instr(sql, ' ON ')) NOT LIKE '% AFTER %' LIMIT 1) END
