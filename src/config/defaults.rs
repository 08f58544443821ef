//! What libpq takes where a database URL says nothing: its variables, the user of the operating system, its socket folder.
//!
//! Owns the order of these: what the text says is never overridden. The names of the variables stand beside their keywords in
//! `libpq`.

use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Where servers put their sockets: the distributions and Python's driver say the first, libpq's own sources the second.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// What completes a database URL.
#[derive(Clone, Debug)]
pub struct Defaults {
    variables: BTreeMap<String, String>,
    user: Option<String>,
    folders: Vec<PathBuf>,
}

impl Defaults {
    /// Those of this process: what its libpq, and a writer with the same environment, would take.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("PG"))?;
            Some((name, value.into_string().ok()?))
        });
        Self::new(
            variables,
            whoami::username().ok(),
            SOCKET_FOLDERS.map(PathBuf::from).to_vec(),
        )
    }

    /// Variables, the user of the operating system if the system knows a name for it, and the folders where a socket may be.
    pub fn new(
        variables: impl IntoIterator<Item = (String, String)>,
        user: Option<String>,
        folders: Vec<PathBuf>,
    ) -> Self {
        Self {
            variables: variables.into_iter().collect(),
            user,
            folders,
        }
    }

    /// The value of a variable; one that is set to nothing says nothing.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The user of the operating system.
    ///
    /// # Errors
    /// If the system has no name for it, as in many containers.
    pub(super) fn user(&self) -> Result<&str, String> {
        self.user.as_deref().ok_or_else(|| {
            let id = own_id().map_or_else(String::new, |id| format!(" {id}"));
            format!("the system has no name for user id{id}, which would be the role: name the user in the URL, or in PGUSER")
        })
    }

    /// The folder of the socket of a server at `port`: the first in which there is one, otherwise the first that exists. Once a
    /// socket was found the answer stays: while a server restarts its socket is gone for a moment, and the server behind the
    /// other folder's is another one.
    pub(super) fn socket_folder(&self, port: u16) -> PathBuf {
        static FOUND: Mutex<BTreeMap<(Vec<PathBuf>, u16), PathBuf>> = Mutex::new(BTreeMap::new());
        let mut found = FOUND.lock();
        let key = (self.folders.clone(), port);
        if let Some(folder) = found.get(&key) {
            return folder.clone();
        }
        let with_socket = self.folders.iter().find(|folder| self.has_socket(folder, port));
        if let Some(folder) = with_socket {
            found.insert(key, folder.clone());
            return folder.clone();
        }
        let existing = self.folders.iter().find(|folder| folder.is_dir());
        existing.or(self.folders.first()).cloned().unwrap_or_default()
    }

    /// Whether a server's socket lies there. Everyone may write `/tmp`: beside the first folder a socket counts only if it
    /// belongs to root, to us, or to the owner of the first folder. Otherwise another user of this host could take the
    /// server's place, and the password, as soon as the server is down.
    fn has_socket(&self, folder: &Path, port: u16) -> bool {
        let Ok(socket) = fs::metadata(folder.join(format!(".s.PGSQL.{port}"))) else {
            return false;
        };
        let first = self.folders.first().map(PathBuf::as_path);
        let owner_of_first = || Some(fs::metadata(first?).ok()?.uid());
        socket.file_type().is_socket()
            && (first == Some(folder)
                || socket.uid() == 0
                || own_id() == Some(socket.uid())
                || owner_of_first() == Some(socket.uid()))
    }
}

/// The user id of this process.
fn own_id() -> Option<u32> {
    Some(fs::metadata("/proc/self").ok()?.uid())
}
