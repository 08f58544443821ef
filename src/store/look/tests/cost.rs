//! What a pass costs the database, by whose clock.

use super::*;

impl Scripted {
    /// A pass whose pages may cost so much, where the pages of so many full looks share it.
    fn pages(&mut self, budget: Duration, looks: usize) -> usize {
        self.share = looks;
        self.pass_within(FULL, &[], TimeBudget::About(budget));
        let is_page = |round: &&Round| matches!(round.questions[..], [Question::Page(_)]);
        self.asked.iter().filter(is_page).count()
    }
}

#[test]
fn the_pages_of_a_pass_cost_the_database_what_they_may_however_far_it_is() {
    let ms = Duration::from_millis;
    let table = || {
        let mut database = Scripted::new(Discovery::KeyTail, (1..=300_000).step_by(50).map(|id| (id, "SUCCESS")));
        database.pass(ORDINARY, &[]);
        database.cost = Some(ms(20));
        database
    };
    assert_eq!(
        table().pages(ms(250), 1),
        12,
        "of 20 ms each: neither one page alone nor more than a twentieth"
    );
    assert_eq!(table().pages(ms(250), 5), 2, "five tables of one database share it");
    assert_eq!(table().pages(ms(250), 1_000), 1, "one page is always read");
    let mut far = table();
    far.way = ms(100);
    assert_eq!(
        far.pages(ms(250), 1),
        10,
        "the way counts for nothing until it is four times as long"
    );
}

#[test]
fn what_a_scan_costs_is_what_the_database_says() {
    let (cost, way) = (Duration::from_millis(3), Duration::from_secs(10));
    let mut database = Scripted::new(Discovery::State, [(1, "RUNNING")]);
    (database.cost, database.way) = (Some(cost), way);
    let scan = |database: &mut Scripted| database.pass(ORDINARY, &[1]).timing.scan;
    assert_eq!(scan(&mut database), None, "by an index there is none");
    database.grows = false;
    (database.plan, database.carried) = (
        AccessPlan {
            access: Access::Scan,
            is_expensive: true,
        },
        Carried::default(),
    );
    assert_eq!(
        scan(&mut database),
        Some(cost),
        "neither the way nor our own processor counts"
    );
    (database.plan.is_expensive, database.carried) = (false, Carried::default());
    assert_eq!(
        scan(&mut database),
        None,
        "of a small table it counts for nothing, however long it took"
    );
}

#[test]
fn more_running_jobs_than_a_watch_holds_fail_the_pass_in_words() {
    let most = usize::try_from(crate::store::reading::MOST_RUNNING).unwrap();
    assert!(count(most - 1, &mapping()).is_ok());
    let error = count(most, &mapping()).unwrap_err();
    assert_eq!(error.failure().as_str(), "schema");
    let said = error.chain();
    assert!(said.contains("2000000 rows of `runs`"), "{said}");
    assert!(said.contains("watch.table.only"), "{said}");
}
