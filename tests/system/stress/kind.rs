//! The tables that are put under stress: Meltano's; one with its heartbeats in another table, whose rows refer to the jobs; and, on
//! a server, one whose jobs are ended by a function. What the watchdogs are configured with, and what the judge asks of each.

use super::{file_judge, judge};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Meltano,
    Elsewhere,
    Function,
}

/// What every configuration has in common. The fuse is tested elsewhere, and would hold here.
const RULES: &str =
    "poll_interval = \"200ms\"\npoll_timeout = \"2s\"\ninit_deadline = \"2s\"\nheartbeat_timeout = \"3s\"\n";
const REPAIR: &str = "[watch.repair]\nmissed_first = \"fail\"\nfuse_min_jobs = 1000000\n";
const ELSEWHERE: &str = "last_heartbeat_at = { table = \"beats\", key = \"job\", column = \"at\" }\n";
const FUNCTION: &str = "[watch.repair.fail]\ncall = { function = \"finish\", args = [\"{id}\", \"{error}\"] }\n";

/// The other table, on a server and in a file.
const BEATS: &str =
    "CREATE TABLE beats (job integer PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE, at timestamp NOT NULL);
    CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON beats FOR EACH ROW EXECUTE FUNCTION audited();";
const BEATS_OF_A_FILE: &str =
    "CREATE TABLE beats (job INTEGER PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE, at DATETIME NOT NULL);";

/// The function, which now and then raises an error or does nothing, and what it needs: it runs with the watchdogs' rights.
const FINISH: &str = "CREATE TABLE calls (job integer, reason text);
    CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON calls FOR EACH ROW EXECUTE FUNCTION audited();
    CREATE FUNCTION finish(ended integer, reason text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO public.calls VALUES (ended, reason);
        IF random() < 0.1 THEN RAISE 'not now'; END IF;
        IF random() < 0.1 THEN RETURN; END IF;
        UPDATE public.runs SET state = 'FAIL', ended_at = now() AT TIME ZONE 'UTC', payload = reason WHERE id = ended;
    END $$;";
const RIGHTS: &str = "GRANT UPDATE (state, ended_at, payload) ON runs TO dog; GRANT INSERT ON calls TO dog;";

impl Kind {
    /// The configuration of every replica.
    pub fn configuration(self, url: &str) -> String {
        let watch = format!("[[watch]]\nname = \"stress\"\ndatabase = \"{url}\"\npreset = \"meltano\"\n{RULES}");
        match self {
            Self::Meltano => watch + REPAIR,
            Self::Elsewhere => format!("{watch}[watch.table]\n{ELSEWHERE}{REPAIR}"),
            Self::Function => watch + REPAIR + FUNCTION,
        }
    }

    /// When a job on a server beat last, as SQL.
    pub fn newest_heartbeat(self) -> &'static str {
        match self {
            Self::Meltano | Self::Function => "last_heartbeat_at",
            Self::Elsewhere => "(SELECT at FROM beats WHERE job = runs.id)",
        }
    }

    /// What a server has beside Meltano's table.
    pub fn tables(self) -> &'static str {
        match self {
            Self::Meltano => "",
            Self::Elsewhere => BEATS,
            Self::Function => FINISH,
        }
    }

    /// What a file has beside Meltano's table.
    pub fn tables_of_a_file(self) -> &'static str {
        if self == Self::Elsewhere { BEATS_OF_A_FILE } else { "" }
    }

    /// What the watchdogs' role may do beyond what `grants` prints.
    pub fn rights(self) -> &'static str {
        if self == Self::Function { RIGHTS } else { "" }
    }

    /// What is asked of a server.
    pub fn questions(self) -> Vec<judge::Question> {
        let own: &[judge::Question] = match self {
            Self::Meltano => &[],
            Self::Elsewhere => judge::OF_BEATS,
            Self::Function => judge::OF_CALLS,
        };
        // A heartbeat in the row is no sign of life where they stand in another table, and there is none.
        let of_the_row = if self == Self::Elsewhere {
            0
        } else {
            judge::OF_THE_ROW.len()
        };
        [judge::QUESTIONS, &judge::OF_THE_ROW[..of_the_row], own].concat()
    }

    /// What is asked of a file.
    pub fn questions_of_a_file(self) -> Vec<judge::Question> {
        let own = match self {
            Self::Elsewhere => file_judge::OF_BEATS,
            Self::Meltano | Self::Function => file_judge::OF_THE_ROW,
        };
        [file_judge::QUESTIONS, own].concat()
    }
}
