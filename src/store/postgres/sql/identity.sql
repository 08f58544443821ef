-- Which server this is: it changes with a restart, a promotion, and a switch to another server. Of what the server doesn't report
-- an empty text, or nothing, takes the place; then its address is added.
pg_catalog.concat_ws('/',
    {{system_identifier}}, {{in_recovery}}, {{timeline}}, {{server_address}}, extract(epoch FROM {{server_started_at}}))
