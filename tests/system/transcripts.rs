//! The transcripts of README and operations page, run again: what they show is what the binary prints. Times, identifiers,
//! addresses and process numbers differ from run to run, so digits are compared as digits.

use crate::support::{beatwarden::command, eventually};
use std::{
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// Longer than any step takes on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A command of a transcript, and what follows it.
struct Shown {
    command: String,
    output: String,
}

fn document(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The blocks of code of one language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    text.split(begin.as_str())
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

/// What a document shows of our own commands, and of the log.
fn transcripts(text: &str) -> Vec<Shown> {
    let all = blocks(text, "console").join("");
    all.split("$ ")
        .skip(1)
        .map(|shown| shown.split_once('\n').unwrap())
        .filter(|(command, _)| command.starts_with("beatwarden ") || command.starts_with("journalctl "))
        .map(|(command, output)| Shown {
            command: command.to_owned(),
            output: output.to_owned(),
        })
        .collect()
}

/// A text without what differs from run to run: identifiers, runs of digits, and the blanks that align a table.
fn comparable(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let is_id = |part: &str| part.len() == 36 && part.matches('-').count() == 4;
        let id = word
            .split(|letter: char| !letter.is_ascii_hexdigit() && letter != '-')
            .find(|part| is_id(part));
        let word = id.map_or_else(|| word.to_owned(), |id| word.replace(id, "ID"));
        let mut digits = String::new();
        for letter in word.chars() {
            match letter {
                '0'..='9' if digits.ends_with('#') => {}
                '0'..='9' => digits.push('#'),
                other => digits.push(other),
            }
        }
        // Fractions and units of spans: 9.5s, 10s and 1m 5s are spans.
        digits.replace("#.#", "#")
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Asserts that a command printed what is shown; `...` stands for lines that are left out.
fn assert_as_shown(shown: &Shown, said: &str) {
    let said = comparable(said);
    let mut rest = said.as_str();
    for part in comparable(&shown.output).split("...") {
        let part = part.trim();
        let at = rest
            .find(part)
            .unwrap_or_else(|| panic!("{} prints\n{said}\nand the document shows\n{part}", shown.command));
        assert!(
            at == 0 || said.len() > rest.len() || shown.output.starts_with("..."),
            "{said}"
        );
        rest = &rest[at + part.len()..];
    }
    if !shown.output.contains("...") {
        assert_eq!(rest.trim(), "", "{} prints more than is shown", shown.command);
    }
}

/// A folder with the configuration of a document, as its reader has it.
struct Reader {
    folder: TempDir,
    listen: String,
}

impl Reader {
    fn of(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let configuration = blocks(text, "toml")
            .into_iter()
            .find(|block| block.contains("[[watch]]"));
        fs::write(folder.path().join("beatwarden.toml"), configuration.unwrap()).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self {
            folder,
            listen: free.to_string(),
        }
    }

    fn sql(&self, file: &str, sql: &str) {
        let connection = rusqlite::Connection::open(self.folder.path().join(file)).unwrap();
        connection.busy_timeout(SOON).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = command(self.folder.path());
        command.env("BEATWARDEN__LISTEN", &self.listen).stdin(Stdio::piped());
        command
    }

    /// Runs a command line as it is shown, and gives all that it prints.
    fn run(&self, line: &str, answer: &str) -> String {
        let mut child = self
            .command()
            .args(line.split_whitespace().skip(1))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }
}

/// Ends with its test.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const AGO: &str = "strftime('%Y-%m-%d %H:%M:%f', 'now', ";

#[test]
fn the_readme_shows_what_check_and_status_print() {
    let text = document("README.md");
    let reader = Reader::of(&text);
    reader.sql(
        "shop.db",
        &format!(
            "CREATE TABLE BackgroundJobs (jobId TEXT PRIMARY KEY NOT NULL, kind TEXT, status TEXT, pickedUpAt TIMESTAMP,
                                          lastSeenAt TIMESTAMP, doneAt TIMESTAMP);
             INSERT INTO BackgroundJobs VALUES
                 ('a16', 'send-invoices', 'finished', {AGO}'-4000 seconds'), {AGO}'-3000 seconds'), {AGO}'-3000 seconds')),
                 ('a17', 'resize-images', 'working', {AGO}'-1200 seconds'), NULL, NULL),
                 ('a18', 'send-invoices', 'working', {AGO}'-90 seconds'), {AGO}'-1 seconds'), NULL);"
        ),
    );
    let shown = transcripts(&text);
    assert_eq!(shown.len(), 2, "check and status");
    for shown in shown {
        assert_as_shown(&shown, &reader.run(&shown.command, ""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operations_page_shows_an_incident_as_it_is() {
    let text = document("docs/operations.md");
    let reader = Reader::of(&text);
    fs::create_dir(reader.folder.path().join(".meltano")).unwrap();
    let sql = |sql: &str| reader.sql(".meltano/meltano.db", sql);
    sql(
        "CREATE TABLE runs (id INTEGER NOT NULL PRIMARY KEY, job_name VARCHAR, state VARCHAR(9), started_at DATETIME,
             ended_at DATETIME, payload VARCHAR, payload_flags INTEGER, run_id CHAR(32), trigger VARCHAR,
             last_heartbeat_at DATETIME)",
    );
    let log = reader.folder.path().join("log");
    let watch = || {
        Watching(
            reader
                .command()
                .arg("watch")
                .stderr(fs::File::create(&log).unwrap())
                .spawn()
                .unwrap(),
        )
    };
    let logged = || fs::read_to_string(&log).unwrap();
    let watches = async || {
        eventually("it listens", SOON, async || TcpStream::connect(&reader.listen).ok()).await;
    };
    let start = |id: u32, ago: u32| {
        sql(&format!(
            "INSERT INTO runs (id, job_name, state, started_at, payload)
             VALUES ({id}, 'orders-to-warehouse', 'RUNNING', {AGO}'-{ago} seconds'), '{{}}')"
        ));
    };
    let repair_id = || {
        let history: serde_json::Value = serde_json::from_str(&reader.run("beatwarden history --json", "")).unwrap();
        history["repairs"][0]["repair_id"].as_str().map(str::to_owned)
    };

    let mut running = Some(watch());
    watches().await;
    start(42, 0);
    let mut id = String::new();
    for shown in transcripts(&text) {
        let mut line = shown.command.clone();
        let mut answer = "";
        if line.contains("explain") {
            let sees = "This is how the instance";
            eventually("the instance sees job 42", SOON, async || {
                reader.run(&line, "").contains(sees).then_some(())
            })
            .await;
        } else if line == "beatwarden history" {
            id = eventually("the repair", SOON, async || repair_id()).await;
        } else if line.contains("journalctl") {
            if shown.output.contains("false repair") {
                sql(&format!(
                    "UPDATE runs SET last_heartbeat_at = {AGO}'0 seconds') WHERE id = 42"
                ));
            } else {
                running.get_or_insert_with(watch);
                watches().await;
                let file = reader.folder.path().join("beatwarden.toml");
                let changed = fs::read_to_string(&file).unwrap().replace("\"10s\"", "\"15s\"");
                fs::write(&file, changed).unwrap();
                let number = running.get_or_insert_with(watch).0.id().to_string();
                assert!(Command::new("kill").args(["-HUP", &number]).status().unwrap().success());
            }
            let line = comparable(&shown.output);
            eventually(&format!("in the log: {line}"), SOON, async || {
                comparable(&logged()).contains(&line).then_some(())
            })
            .await;
            continue;
        } else if line.contains("repair --now") {
            sql(&format!(
                "UPDATE runs SET state = 'SUCCESS', ended_at = {AGO}'0 seconds') WHERE id = 42"
            ));
            // The watch would repair it first.
            running = None;
            start(43, 168);
            answer = "y\n";
        }
        let ids = line.split(' ').find(|word| word.len() == 36).map(str::to_owned);
        if let Some(of_document) = ids {
            line = line.replace(&of_document, &id);
        }
        let said = reader.run(&line, answer);
        if answer.is_empty() {
            assert_as_shown(&shown, &said);
            continue;
        }
        // What is answered is not printed, and the progress is wiped off a terminal.
        for part in shown.output.replace("] y\n", "]\n").lines() {
            assert!(comparable(&said).contains(&comparable(part)), "{part} is not in {said}");
        }
    }
    assert!(running.is_some() && !id.is_empty(), "all steps were shown");
}
