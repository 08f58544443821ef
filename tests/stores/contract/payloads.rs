//! The error text in whatever the error column holds: both databases write the same bytes, and an undo gives back every byte.
//! Generated payloads; the two stores share no code for this, so each is the other's judge.

use super::{
    DEADLINE,
    bed::{Bed, PostgresBed, SqliteBed},
    job, look,
};
use beatwarden::{
    domain::{Action, Coverage, Outcome, Phase, Repair, Repairing, StartCheck},
    store::{Ledger, Store, Undo},
};
use proptest::{collection::vec, prelude::*, sample::select};

/// Cases with the other tests; `PROPTEST_CASES` for more.
const CASES: u32 = 2;

/// Pieces that matter to a search for braces and blanks, and some that only look so.
const PIECES: [&str; 32] = [
    "{",
    "}",
    "{}",
    "{ }",
    " ",
    "\n",
    "\t",
    "\r",
    ", ",
    "\"a\": 1",
    "\"error\": \"x\"",
    "NaN",
    "1e2",
    "\\u0000",
    "[",
    "]",
    "null",
    "\"",
    "'",
    "\\",
    "%",
    "_",
    "ü",
    "😀",
    "\u{a0}",
    "\u{2028}",
    "\u{b}",
    "\u{c}",
    "\u{7f}",
    "\u{202e}",
    "\u{feff}",
    "\u{1}",
];

/// Pieces that are repeated until a text is long.
const LONG_PIECES: [&str; 8] = [" ", "x", "{", "}", "ü", "\n", "{}", "😀 "];

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => select(PIECES.to_vec()).prop_map(str::to_owned),
        1 => (select(LONG_PIECES.to_vec()), 300_usize..6_000).prop_map(|(piece, times)| piece.repeat(times)),
        2 => any::<String>().prop_map(|text| text.replace('\0', "")),
    ]
}

fn payload() -> impl Strategy<Value = Option<String>> {
    let pieces = || vec(piece(), 0..7).prop_map(|pieces| pieces.concat());
    prop_oneof![
        1 => Just(None),
        4 => pieces().prop_map(Some),
        6 => pieces().prop_map(|inside| Some(format!("{{{inside}}}"))),
        2 => (pieces(), select(vec![" ", "\n", "\t \r"])).prop_map(|(inside, end)| Some(format!("{end}{{{inside}}}{end}"))),
    ]
}

/// What an undo puts back: of white space and of empty braces nothing but that it was so.
fn put_back(payload: &str) -> String {
    let is_blank = |text: &str| text.chars().all(|letter| [' ', '\t', '\n', '\r'].contains(&letter));
    let trimmed = payload.trim_matches([' ', '\t', '\n', '\r']);
    if is_blank(payload) {
        return String::new();
    }
    match trimmed.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(inside) if is_blank(inside) => "{}".to_owned(),
        _ => payload.to_owned(),
    }
}

/// The error column of every job, by key.
async fn held(bed: &impl Bed) -> Vec<Option<String>> {
    let rows = bed.rows().await;
    rows.into_iter().map(|mut row| row.remove("payload").unwrap()).collect()
}

/// Fails every job and takes it back: what the error column held in between, and in the end.
async fn failed_and_undone(bed: impl Bed, payloads: &[Option<String>]) -> [Vec<Option<String>>; 2] {
    let rows: Vec<String> = payloads
        .iter()
        .enumerate()
        .map(|(id, payload)| {
            let payload = payload
                .as_ref()
                .map_or_else(|| "NULL".to_owned(), |text| format!("'{}'", text.replace('\'', "''")));
            format!("({id}, 'job-{id}', 'RUNNING', '2020-01-01 00:00:00', {payload})")
        })
        .collect();
    let insert = format!(
        "INSERT INTO runs (id, job_name, state, started_at, payload) VALUES {}",
        rows.join(", ")
    );
    bed.sql(&insert).await;
    let mut store = bed.store(Action::Fail);
    let snapshot = store.observe(&look(Coverage::Full)).await.unwrap();
    store.prepare_ledger().await.unwrap();
    let mut repairs = Vec::new();
    for (id, payload) in payloads.iter().enumerate() {
        let repair = Repair {
            action: Repairing::Fail,
            job: job(&snapshot, u32::try_from(id).unwrap()),
            reason: Phase::MissedFirst,
            deadline: DEADLINE,
            server: snapshot.server.clone(),
            start: StartCheck::Overdue,
            after_undo: None,
        };
        let outcome = store.repair(&repair).await;
        let Outcome::Repaired(id) = outcome else {
            panic!("{outcome:?}: {payload:?}");
        };
        repairs.push(id);
    }
    let failed = held(&bed).await;
    for repair in repairs {
        let undone = store.undo(repair).await.unwrap();
        assert!(matches!(undone, Undo::Done { .. }), "{undone:?}");
    }
    [failed, held(&bed).await]
}

#[test]
fn whatever_the_error_column_holds_both_databases_merge_alike_and_give_every_byte_back() {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    let config = ProptestConfig {
        cases: cases.unwrap_or(CASES),
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    };
    proptest!(config, |(payloads in vec(payload(), 1..40))| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (postgres, sqlite) = runtime.block_on(async {
            let postgres = failed_and_undone(PostgresBed::new().await, &payloads).await;
            (postgres, failed_and_undone(SqliteBed::new().await, &payloads).await)
        });
        for (place, payload) in payloads.iter().enumerate() {
            for step in [0, 1] {
                let (postgres, sqlite) = (without_id(&postgres[step][place]), without_id(&sqlite[step][place]));
                prop_assert_eq!(postgres, sqlite, "step {} of {:?}", step, payload);
            }
            prop_assert_eq!(&sqlite[1][place], &payload.as_deref().map(put_back), "{:?}", payload);
        }
    });
}

/// The identity of a repair has the table's name in it, which has a schema on PostgreSQL.
fn without_id(text: &Option<String>) -> Option<String> {
    const BEFORE: &str = "of the start (repair ";
    let text = text.as_ref()?;
    Some(match text.rfind(BEFORE) {
        Some(at) => {
            let (before, rest) = text.split_at(at + BEFORE.len());
            format!("{before}{}", rest.get(36..).unwrap_or(rest))
        }
        None => text.clone(),
    })
}
