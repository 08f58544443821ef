//! Beatwarden: a watchdog beside an application that keeps its jobs in a database table.
