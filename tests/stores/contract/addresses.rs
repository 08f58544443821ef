//! When the address of the database is read, and what becomes of a watch whose address can't be read.

use super::bed::PostgresBed;
use beatwarden::{
    domain::Coverage,
    store::{ObserveRequest, Store, StoreError},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

fn request() -> ObserveRequest {
    ObserveRequest::whole(Vec::new(), Coverage::Full)
}

#[tokio::test]
async fn the_address_is_read_at_a_connect_and_at_no_pass() {
    let bed = PostgresBed::new().await;
    let reads = Arc::new(AtomicU32::new(0));
    let count = reads.clone();
    let mut store = bed.store_asking(Duration::from_secs(10), move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    for _ in 0..5 {
        store.observe(&request()).await.unwrap();
    }
    assert_eq!(reads.load(Ordering::Relaxed), 1);
}

/// As on a network volume that is away: a process that opens the file hangs in the system.
#[tokio::test]
async fn an_address_that_hangs_holds_up_no_one_else_and_one_thread_at_most() {
    let bed = PostgresBed::new().await;
    let (release, hanging) = std::sync::mpsc::channel::<()>();
    let (hanging, reads) = (Mutex::new(hanging), Arc::new(AtomicU32::new(0)));
    let count = reads.clone();
    let mut store = bed.store_asking(Duration::from_millis(300), move || {
        count.fetch_add(1, Ordering::Relaxed);
        // An error is the end of the test.
        let _ = hanging.lock().unwrap().recv();
    });
    let began = Instant::now();
    let mut turns = 0;
    let passes = async {
        for _ in 0..3 {
            let failed = store.observe(&request()).await.unwrap_err();
            assert!(matches!(failed, StoreError::Connect { .. }), "{failed:?}");
            assert!(failed.chain().contains("does the volume hang?"), "{}", failed.chain());
        }
    };
    // On the same thread.
    let others = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            turns += 1;
        }
    };
    tokio::select! {
        () = passes => {}
        () = others => {}
    }
    assert!(
        turns > 10 && began.elapsed() < Duration::from_secs(5),
        "{turns} turns in {:?}",
        began.elapsed()
    );
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    drop(release);
    store.observe(&request()).await.unwrap();
}
