-- Whether this role may read a column.
pg_catalog.has_column_privilege(attribute.attrelid, attribute.attnum, 'SELECT')
