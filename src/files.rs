//! Files of configuration and secrets: read within bounds, and who else may read them.
//!
//! A file is put there by an operator or one of their programs, and may be anything by mistake or on purpose: endless, a pipe, or a
//! few hundred bytes of YAML that stand for gigabytes.

mod document;

pub use document::{parse, problem_of, refuse_bombs};

use rustix::fs::OFlags;
use std::{
    fmt,
    fs::{self, File},
    io::{self, ErrorKind, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// More than any configuration has; a list of thousands of watches fits.
pub const MOST_BYTES: u64 = 16 << 20;

/// How long a pipe may take. Without an end to it, who replaces a secret by a pipe would stop every later read of that secret.
const PIPE_WITHIN: Duration = Duration::from_secs(2);
const BETWEEN: Duration = Duration::from_millis(10);

/// The contents of a file, pipe or device, if they are no more than `most` bytes.
///
/// # Errors
/// What the system says, that there is more in it, or that it is a pipe to which no one writes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Otherwise opening a pipe would wait for its writer.
    let not_blocking = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let opened = File::options().read(true).custom_flags(not_blocking).open(path);
    let file = opened.map_err(|error| in_words(path, error))?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "it is a folder, not a file"));
    }
    let is_pipe = kind.is_fifo();
    let (mut file, mut bytes) = (file.take(most + 1), Vec::new());
    let until = Instant::now() + PIPE_WITHIN;
    loop {
        match file.read_to_end(&mut bytes) {
            // Before its writer has come a pipe seems to be at its end.
            Ok(_) if !is_pipe || !bytes.is_empty() => break,
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ if Instant::now() > until => {
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    format!("it is a pipe to whose end no one wrote within {PIPE_WITHIN:?}"),
                ));
            }
            _ => pause(),
        }
    }
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

/// Why a path can't be opened, where the system's words hide it.
fn in_words(path: &Path, error: io::Error) -> io::Error {
    if fs::metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        return io::Error::new(error.kind(), "it is a socket, not a file");
    }
    match fs::read_link(path) {
        Ok(target) if error.kind() == ErrorKind::NotFound => {
            let words = format!("it is a link to {}, which is not there", target.display());
            io::Error::new(ErrorKind::NotFound, words)
        }
        _ => error,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "reading a file blocks, and never on a worker of the runtime"
)]
fn pause() {
    thread::sleep(BETWEEN);
}

/// The same of a regular file only: it is going to be read again and again, and opening a pipe waits for its writer.
///
/// # Errors
/// What the system says, that it is no regular file, or that there is more in it.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    match fs::metadata(path).map_err(|error| in_words(path, error))?.file_type() {
        kind if kind.is_file() => read(path, most),
        kind if kind.is_dir() => Err(io::Error::new(ErrorKind::IsADirectory, "it is a folder, not a file")),
        _ => Err(io::Error::other("it is no regular file")),
    }
}

/// A file that every user of this host may read or write. Its text says so, and what to do.
#[derive(Debug)]
pub struct Open {
    path: PathBuf,
    rights: u32,
    /// Whether they may write it.
    pub may_be_written: bool,
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let may = match self.rights & 0o006 {
            0o002 => "written",
            0o004 => "read",
            _ => "read and written",
        };
        let (path, rights) = (self.path.display(), self.rights & 0o777);
        write!(
            f,
            "{path} may be {may} by every user of this host (mode {rights:03o}): chmod 600 it"
        )
    }
}

/// What every user of this host may do to a file that holds a secret; `None` where no other user reaches it, be it for one
/// of the folders above it.
pub fn open_to_all(path: &Path) -> Option<Open> {
    let path = fs::canonicalize(path).ok()?;
    let mode = |path: &Path| Some(fs::metadata(path).ok()?.permissions().mode());
    let rights = mode(&path)?;
    if rights & 0o006 == 0 {
        return None;
    }
    if path
        .ancestors()
        .skip(1)
        .any(|folder| mode(folder).is_none_or(|mode| mode & 0o001 == 0))
    {
        return None;
    }
    Some(Open {
        path,
        rights,
        may_be_written: rights & 0o002 != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_and_what_is_no_file_is_refused() {
        assert!(read(Path::new("/dev/zero"), 1_000).is_err());
        assert_eq!(read(Path::new("/dev/null"), 0).expect("nothing is in it"), b"");
        assert!(read_regular(Path::new("/dev/null"), 1_000).is_err());
        assert!(read_regular(Path::new("/proc"), 1_000).is_err());
    }

    #[test]
    fn what_stands_in_the_place_of_a_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let (socket, link) = (folder.path().join("socket"), folder.path().join("link"));
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        std::os::unix::fs::symlink("nowhere", &link).expect("a link");
        for (path, expected) in [
            (folder.path(), "it is a folder, not a file"),
            (&socket, "it is a socket, not a file"),
            (&link, "it is a link to nowhere, which is not there"),
        ] {
            let error = read(path, 1_000).expect_err("no file");
            assert_eq!(error.to_string(), expected);
        }
        let missing = read_regular(&link, 1_000).expect_err("no file");
        assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_waited_for_no_longer_than_that() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo").success());
        let silent = read(&pipe, 1_000).expect_err("no one writes");
        assert_eq!(silent.kind(), ErrorKind::TimedOut, "{silent}");
        assert!(read_regular(&pipe, 1_000).is_err());
        let path = pipe.clone();
        let writer = thread::spawn(move || fs::write(path, "postgres://db/x"));
        assert_eq!(read(&pipe, 1_000).expect("it was written"), b"postgres://db/x");
        writer.join().expect("no panic").expect("written");
    }

    #[test]
    fn a_secret_is_open_to_all_only_if_all_can_reach_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let rights = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
        let file = folder.path().join("secret");
        fs::write(&file, "x").expect("ours");
        rights(folder.path(), 0o755);
        for (mode, expected) in [
            (0o600, None),
            (0o640, None),
            (0o644, Some("may be read by every user")),
            (0o666, Some("may be read and written by")),
            (0o602, Some("may be written by")),
        ] {
            rights(&file, mode);
            let said = open_to_all(&file).map(|open| open.to_string());
            assert_eq!(said.is_some(), expected.is_some(), "{mode:o}: {said:?}");
            assert!(
                said.unwrap_or_default().contains(expected.unwrap_or_default()),
                "{mode:o}"
            );
        }
        rights(&file, 0o666);
        rights(folder.path(), 0o700);
        assert!(open_to_all(&file).is_none());
    }
}
