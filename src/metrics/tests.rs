//! What a scrape costs: how many watches are encoded for it, as a number.

use super::*;
use crate::{
    domain::{Policy, Timestamp},
    status::WatchTerms,
    store::Failure,
};
use std::time::Duration;

struct Standing;

impl Clock for Standing {
    fn moment(&self) -> Moment {
        Moment::from_start(Duration::from_secs(9))
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(0)
    }
}

fn board() -> Arc<Board> {
    Arc::new(Board::new(WatchTerms {
        policy: Policy::default(),
        preset: None,
        table: "runs".into(),
        poll_interval: Duration::from_secs(5),
        poll_timeout: Duration::from_secs(10),
        init_objective: 0.99,
        labels_names: false,
        target: None,
        index_advice: String::new(),
    }))
}

fn failed() -> FailedPass {
    FailedPass {
        failure: Failure::Connect,
        error: "refused".into(),
        at: Moment::default(),
        wall: Timestamp::from_micros(0),
        took: Duration::from_millis(1),
        retry_in: Duration::from_secs(1),
    }
}

/// How many parts the next scrape encodes, and its text.
fn scrape(metrics: &Metrics) -> (usize, String) {
    let mut encoded = 0;
    let scrape = metrics.kept.lock().scrape(metrics.sources(), |source| {
        encoded += 1;
        metrics.encode(source)
    });
    (encoded, String::from_utf8(scrape.text().to_vec()).unwrap())
}

#[test]
fn a_pass_of_one_of_many_watches_costs_the_next_scrape_one_encoding() {
    let boards: Vec<_> = (0..50).map(|number| (format!("watch-{number}"), board())).collect();
    let roster = Arc::new(Roster::new(boards.clone(), Timestamp::from_micros(0)));
    let metrics = Metrics::new("1", "a", roster, Standing);
    let audience = metrics.watch("watch-7", boards[7].1.clone());
    let polls = |text: &str| {
        let series = "beatwarden_polls_total{watch=\"watch-7\"} ";
        text.lines()
            .find_map(|line| Some(line.strip_prefix(series)?.to_owned()))
    };
    let (encoded, text) = scrape(&metrics);
    assert_eq!((encoded, polls(&text).as_deref()), (51, Some("0")));
    assert_eq!(scrape(&metrics).0, 0);
    for passes in 1..4 {
        audience.failed(failed());
        boards[7].1.failed(failed());
        let (encoded, text) = scrape(&metrics);
        assert_eq!((encoded, polls(&text)), (1, Some(passes.to_string())));
        assert_eq!(scrape(&metrics), (0, text));
    }
}
