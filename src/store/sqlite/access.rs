//! Whether a file may be opened as its writer opens it, or only be read without a trace. Owns the rule that the file is
//! the writer's.
//!
//! SQLite makes `-wal` and `-shm` beside the file as the user who opens it first. Where that is not the file's owner, the
//! writer can't write them and is locked out of its own file; and a connection that is open when the writer closes last
//! has to be able to do the writer's clean-up in its place. So only the owner opens the file. Anyone else reads it
//! `immutable`, which takes no lock and makes no file, and only while no one has it open: the file and what lies beside it
//! have to be the same before and after.

use super::{absent::missing, place::FileIdentity};
use crate::store::StoreError;
use rustix::{
    process::{Gid, Uid, getegid, geteuid, getgid, getuid},
    thread::{set_thread_res_gid, set_thread_res_uid},
};
use std::{
    ffi::OsString,
    fs::{self, Metadata},
    io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// How a file is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// As its owner: what SQLite makes beside it is the owner's.
    AsOwner,
    /// Read without a lock and without a file beside it, for this reason.
    Untouched(Reason),
}

/// Why a file is only read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// What SQLite makes beside it could not be written by its users.
    NotOwner(String),
    /// The file or its folder can't be written by its owner either.
    ReadOnly(String),
}

impl Reason {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::NotOwner(text) | Self::ReadOnly(text) => text,
        }
    }
}

/// Becomes the owner of the file as far as this thread may, and says how the file is to be opened.
///
/// A process of root acts as the owner on this thread alone (`setresuid(2)` changes the calling thread), so that no file
/// of root's comes into being, not even for the moment until SQLite would give it away.
pub(super) fn access_of(path: &Path, metadata: &Metadata) -> Access {
    act_as(metadata.uid(), metadata.gid());
    let (user, owner) = (geteuid().as_raw(), metadata.uid());
    if user != owner {
        return Access::Untouched(Reason::NotOwner(format!(
            "{} belongs to user {owner}, and Beatwarden runs as user {user}: files that SQLite makes beside it would lock \
             its owner out, so Beatwarden only reads it while no one has it open; run Beatwarden as user {owner}",
            path.display()
        )));
    }
    match group_left_out(path, metadata) {
        Some(group) => Access::Untouched(Reason::NotOwner(format!(
            "{} may be written by group {}, and files that SQLite makes beside it would belong to group {group}: \
             run Beatwarden with group {}, or set the folder's setgid bit (chmod g+s)",
            path.display(),
            metadata.gid(),
            metadata.gid()
        ))),
        None => Access::AsOwner,
    }
}

/// Takes on a user and a group where this process is root's and may; elsewhere nothing changes.
fn act_as(user: u32, group: u32) {
    if user == u32::MAX || group == u32::MAX || !getuid().is_root() {
        return;
    }
    act_as_ourselves();
    // What fails here shows in the comparison that follows.
    let _ = set_thread_res_gid(None, Gid::from_raw(group), None);
    let _ = set_thread_res_uid(None, Uid::from_raw(user), None);
}

/// Becomes root again where this process is root's: what isn't the writer's file, such as the file with its path, is read
/// as the user that runs Beatwarden.
pub(super) fn act_as_ourselves() {
    if getuid().is_root() {
        // Always allowed: the real user and group are root's.
        let _ = set_thread_res_uid(None, getuid(), None);
        let _ = set_thread_res_gid(None, getgid(), None);
    }
}

/// The group that files beside the database would get, where users write the database by its group and it is another.
fn group_left_out(path: &Path, metadata: &Metadata) -> Option<u32> {
    const GROUP_WRITES: u32 = 0o020;
    const ALL_WRITE: u32 = 0o002;
    const SETGID: u32 = 0o2000;
    if metadata.mode() & GROUP_WRITES == 0 || metadata.mode() & ALL_WRITE != 0 {
        return None;
    }
    let inherited = path
        .parent()
        .and_then(|folder| fs::metadata(folder).ok())
        .filter(|folder| folder.mode() & SETGID != 0)
        .map(|folder| folder.gid());
    let group = inherited.unwrap_or_else(|| getegid().as_raw());
    (group != metadata.gid()).then_some(group)
}

/// The file and its neighbours at one moment; two of them that are equal frame a reading that no one disturbed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Still {
    identity: FileIdentity,
    length: u64,
    modified: SystemTime,
    changed: (i64, i64),
}

/// A write within the same tick of the kernel's clock leaves the time of change as it was; ticks last 10 ms at most.
const SETTLED: Duration = Duration::from_millis(30);

impl Still {
    /// The file as it is now, if no one has it open and it is the whole database.
    ///
    /// # Errors
    /// [`StoreError::Rights`] if someone has it open, or died with it open: then the file alone is not the whole.
    pub(super) fn of(path: &Path, reason: &Reason) -> Result<Self, StoreError> {
        for (suffix, open) in [("-shm", true), ("-wal", false), ("-journal", false)] {
            let length = match fs::metadata(beside(path, suffix)) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                // What can't be seen may hold changes.
                Err(_) => 1,
            };
            if open || length > 0 {
                return Err(StoreError::Rights(format!(
                    "{}{suffix} is there, so someone has the file open, or ended without closing it, and it can't be read \
                     without a part in that: {}",
                    path.display(),
                    reason.text()
                )));
            }
        }
        let still = Self::stat(path).map_err(|error| missing(path, error))?;
        // A clock that was set back is taken for a recent change.
        let age = still.modified.elapsed().unwrap_or(Duration::ZERO);
        if age < SETTLED {
            let until = std::time::Instant::now() + (SETTLED - age);
            while let Some(left) = until.checked_duration_since(std::time::Instant::now()) {
                std::thread::park_timeout(left);
            }
        }
        Ok(still)
    }

    fn stat(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            identity: FileIdentity::from(&metadata),
            length: metadata.len(),
            modified: metadata.modified()?,
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// That nothing has changed since.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if the file was written or opened meanwhile: what was read may be torn.
    pub(super) fn demand(&self, path: &Path, reason: &Reason, what: &'static str) -> Result<(), StoreError> {
        let now = Self::of(path, reason);
        if now.is_ok_and(|now| now == *self) {
            return Ok(());
        }
        Err(StoreError::Locked {
            what,
            source: format!(
                "{} was opened or written while it was read: {}",
                path.display(),
                reason.text()
            )
            .into(),
        })
    }
}

/// What SQLite calls a file beside the database.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The URI that opens a file without locks, and without making any file.
pub(super) fn immutable(path: &Path) -> PathBuf {
    let mut uri = b"file:".to_vec();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend(format!("%{byte:02x}").bytes()),
            plain => uri.push(*plain),
        }
    }
    uri.extend(b"?immutable=1");
    PathBuf::from(OsString::from_vec(uri))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_the_signs_of_a_uri_stays_that_path() {
        let uri = immutable(Path::new("/tmp/100% sure?#1.db"));
        assert_eq!(uri, Path::new("file:/tmp/100%25 sure%3f%231.db?immutable=1"));
    }

    #[test]
    fn only_the_same_file_at_rest_is_still() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let reason = Reason::ReadOnly("it is read-only".to_owned());
        fs::write(&path, "one").unwrap();
        let still = Still::of(&path, &reason).unwrap();
        assert!(still.demand(&path, &reason, "reading").is_ok());
        fs::write(&path, "two").unwrap();
        assert!(matches!(
            still.demand(&path, &reason, "reading"),
            Err(StoreError::Locked { .. })
        ));
        for (name, content, is_still) in [
            ("-wal", "", true),
            ("-wal", "x", false),
            ("-journal", "x", false),
            ("-shm", "", false),
        ] {
            fs::write(beside(&path, name), content).unwrap();
            assert_eq!(Still::of(&path, &reason).is_ok(), is_still, "{name} {content:?}");
            fs::remove_file(beside(&path, name)).unwrap();
        }
    }
}
