//! Passwords: bcrypt, a few at once, in a queue that has an end.
//!
//! A hash takes tens of milliseconds on purpose, so a client that sends wrong passwords by the hundred could keep all
//! others waiting. Two things stand against that: what was right once is recognised without bcrypt, and no client may have
//! more than a few attempts waiting.

use base64::{Engine, prelude::BASE64_STANDARD};
use bcrypt::HashParts;
use parking_lot::Mutex;
use ring::{hmac, rand::SystemRandom};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    str::FromStr,
    sync::Arc,
};
use tokio::sync::Semaphore;

/// How many hashes are computed at once.
const AT_ONCE: usize = 2;
/// How many attempts may wait, from everywhere.
const WAITING: usize = 32;
/// How many attempts from one address may wait or be computed.
const WAITING_FROM_ONE: usize = 8;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// The password is right, or none is needed.
    Good,
    /// None was sent, or it is wrong.
    Wrong,
    /// Too many are being checked already: not looked at.
    Busy,
}

/// The users and their hashes.
pub(super) struct Logins {
    users: BTreeMap<String, String>,
    /// The lowest and the highest cost of their hashes.
    costs: (u32, u32),
    /// For each user the last password that was right, as a keyed digest. Never asked across users, so no combination of
    /// name and password can stand for another (CVE-2022-46146).
    right: Mutex<HashMap<String, hmac::Tag>>,
    key: hmac::Key,
    at_once: Arc<Semaphore>,
    queue: Mutex<HashMap<IpAddr, usize>>,
}

impl Logins {
    /// `None` where no one is listed: then no password is asked for. The hashes were checked.
    pub(super) fn new(users: BTreeMap<String, String>) -> Result<Option<Self>, String> {
        let costs = || users.values().filter_map(|hash| cost_of(hash));
        let Some(costs) = costs().min().zip(costs().max()) else {
            return Ok(None);
        };
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| "the system has no random numbers".to_owned())?;
        Ok(Some(Self {
            users,
            costs,
            right: Mutex::default(),
            key,
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            queue: Mutex::default(),
        }))
    }

    /// How many there are.
    pub(super) fn users(&self) -> usize {
        self.users.len()
    }

    /// The lowest and the highest cost of their hashes, where they differ.
    pub(super) fn mixed_costs(&self) -> Option<(u32, u32)> {
        (self.costs.0 != self.costs.1).then_some(self.costs)
    }

    /// Checks one attempt.
    pub(super) async fn check(&self, authorization: Option<&[u8]>, from: IpAddr) -> Login {
        let Some((user, password)) = authorization.and_then(credentials) else {
            return Login::Wrong;
        };
        if self.was_right(&user, &password) {
            return Login::Good;
        }
        let Some(_slot) = self.take_slot(from) else {
            return Login::Busy;
        };
        let permit = self.at_once.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let hash = self.users.get(&user).cloned();
        let (attempt, (_, highest)) = (password.clone(), self.costs);
        let verified = tokio::task::spawn_blocking(move || {
            let verified = verify(&attempt, hash.as_deref(), highest);
            // Held until the hash is computed, also for a client that has gone away meanwhile.
            drop(permit);
            verified
        });
        let is_right = verified.await.unwrap_or(false);
        if is_right {
            let tag = hmac::sign(&self.key, &password);
            self.right.lock().insert(user, tag);
            Login::Good
        } else {
            Login::Wrong
        }
    }

    fn was_right(&self, user: &str, password: &[u8]) -> bool {
        let tag = self.right.lock().get(user).copied();
        tag.is_some_and(|tag| hmac::verify(&self.key, password, tag.as_ref()).is_ok())
    }

    fn take_slot(&self, from: IpAddr) -> Option<QueueSlot<'_>> {
        let mut queue = self.queue.lock();
        if queue.values().sum::<usize>() >= WAITING
            || queue.get(&from).is_some_and(|waiting| *waiting >= WAITING_FROM_ONE)
        {
            return None;
        }
        *queue.entry(from).or_default() += 1;
        Some(QueueSlot { logins: self, from })
    }
}

/// A place in the queue; given back when it is dropped.
struct QueueSlot<'a> {
    logins: &'a Logins,
    from: IpAddr,
}

impl Drop for QueueSlot<'_> {
    fn drop(&mut self) {
        let mut queue = self.logins.queue.lock();
        if let Some(waiting) = queue.get_mut(&self.from) {
            *waiting -= 1;
            if *waiting == 0 {
                queue.remove(&self.from);
            }
        }
    }
}

fn cost_of(hash: &str) -> Option<u32> {
    Some(HashParts::from_str(hash).ok()?.get_cost())
}

/// Whether the password is that of `hash`, of no user if there is none. What is wrong takes the time of the slowest hash,
/// for any user: each step of the cost doubles the time, so the time of cost c and then that of c, c + 1 and so on
/// up to one below the highest add up to the highest. Otherwise the time of an answer would show which names exist.
fn verify(password: &[u8], hash: Option<&str>, highest: u32) -> bool {
    let work = |cost| bcrypt::hash_with_salt(password, cost, [0; 16]).is_ok();
    let Some(hash) = hash else {
        work(highest);
        return false;
    };
    let is_right = bcrypt::verify(password, hash).unwrap_or(false);
    if !is_right {
        for cost in cost_of(hash).unwrap_or(highest)..highest {
            work(cost);
        }
    }
    is_right
}

/// User and password of an `Authorization` header (RFC 7617).
fn credentials(header: &[u8]) -> Option<(String, Vec<u8>)> {
    let header = std::str::from_utf8(header).ok()?;
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let user = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some((user, decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn logins(users: &[(&str, &str)]) -> Logins {
        let users = users.iter().map(|(user, password)| {
            let hash = bcrypt::hash(password, 4).expect("a hash");
            ((*user).to_owned(), hash)
        });
        Logins::new(users.collect()).expect("random numbers").expect("users")
    }

    fn header(user: &str, password: &str) -> Vec<u8> {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))).into_bytes()
    }

    #[test]
    fn a_wrong_password_takes_the_same_time_for_every_user_and_for_none() {
        let (cheap, expensive) = (
            bcrypt::hash("a", 4).expect("a hash"),
            bcrypt::hash("b", 10).expect("a hash"),
        );
        // The processor's time, in nanoseconds: however busy the machine, it is what the hash takes.
        let spent = || -> u64 {
            let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
            let first = stat.split(' ').next().and_then(|first| first.parse().ok());
            first.expect("nanoseconds on a processor")
        };
        let time_of = |hash: Option<&str>| {
            let once = || {
                let began = spent();
                assert!(!verify(b"wrong", hash, 10));
                spent() - began
            };
            (0..5).map(|_| once()).min().expect("five times")
        };
        let times = [time_of(None), time_of(Some(&cheap)), time_of(Some(&expensive))];
        let (least, most) = (times.iter().min().expect("three"), times.iter().max().expect("three"));
        assert!(*most < *least * 2, "{times:?}");
        assert!(verify(b"a", Some(&cheap), 10));
    }

    #[tokio::test]
    async fn only_the_right_password_of_that_user_is_good_before_and_after_it_is_remembered() {
        let logins = logins(&[("ann", "one:two"), ("an", "n")]);
        for _ in 0..2 {
            for (user, password, expected) in [
                ("ann", "one:two", Login::Good),
                ("ann", "one", Login::Wrong),
                ("ann", "", Login::Wrong),
                ("an", "n", Login::Good),
                ("an", "one:two", Login::Wrong),
                ("nobody", "one:two", Login::Wrong),
                ("", "", Login::Wrong),
            ] {
                let login = logins.check(Some(&header(user, password)), HERE).await;
                assert_eq!(login, expected, "{user} {password}");
            }
        }
        for broken in ["", "Basic", "Basic !", "Bearer YTpi", "Basic YQ=="] {
            assert_eq!(
                logins.check(Some(broken.as_bytes()), HERE).await,
                Login::Wrong,
                "{broken}"
            );
        }
        assert_eq!(logins.check(None, HERE).await, Login::Wrong);
        assert!(logins.queue.lock().is_empty());
    }

    #[tokio::test]
    async fn the_queue_has_an_end_and_what_was_right_before_needs_no_place_in_it() {
        let logins = logins(&[("ann", "right")]);
        assert_eq!(logins.check(Some(&header("ann", "right")), HERE).await, Login::Good);
        let held: Vec<_> = (0..WAITING_FROM_ONE)
            .map(|_| logins.take_slot(HERE).expect("a place"))
            .collect();
        assert_eq!(logins.check(Some(&header("ann", "wrong")), HERE).await, Login::Busy);
        assert_eq!(logins.check(Some(&header("ann", "right")), HERE).await, Login::Good);
        let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
        assert_eq!(
            logins.check(Some(&header("ann", "wrong")), elsewhere).await,
            Login::Wrong
        );
        drop(held);
        assert_eq!(logins.check(Some(&header("ann", "wrong")), HERE).await, Login::Wrong);
    }
}
