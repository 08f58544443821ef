/* beatwarden: part */
-- Returns one row with one part of what a server reports about itself, or fails where it is refused. Reads nothing else.
SELECT {{part}} AS part
