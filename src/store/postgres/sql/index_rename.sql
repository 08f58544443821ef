-- An index of an earlier version, whose name a longer table's name could share, gets the name it would get now.
ALTER INDEX {{guard_index_former}} RENAME TO {{guard_index}};
