-- The same where the function is refused: false where a setting of that name is not known.
(coalesce(pg_catalog.current_setting('in_hot_standby', true), 'off') OPERATOR(pg_catalog.=) 'on')
