//! Where the database file lies: which file it is, and on what kind of file system. Never opens it: closing a file that
//! SQLite has open would drop every lock of this process on it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Which file a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// Of the file at `path`, by its name alone.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&fs::metadata(path)?))
    }

    /// As the domain compares it.
    pub(super) fn shown(self) -> String {
        format!("file {}:{}", self.device, self.inode)
    }
}

impl From<&fs::Metadata> for FileIdentity {
    fn from(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// File systems whose locks can't be trusted, because another machine can hold the file.
const NETWORK: &str = "nfs nfs4 cifs smb3 smbfs 9p virtiofs vboxsf afs ceph glusterfs gfs2 lustre ocfs2 fuse.ceph-fuse \
                       fuse.gcsfuse fuse.glusterfs fuse.juicefs fuse.rclone fuse.s3fs fuse.sshfs fuse.vmhgfs-fuse";

/// Whether the file lies on a network file system, as the kernel's table of mounts has it.
pub(super) fn is_on_network(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let is_network = |kind: &str| NETWORK.split(' ').any(|known| known == kind);
    fs::read_to_string("/proc/self/mountinfo").is_ok_and(|table| file_system(&table, &path).is_some_and(is_network))
}

/// The type of the file system that `path` lies on: that of the longest mount point above it, the last one mounted.
fn file_system<'a>(table: &'a str, path: &Path) -> Option<&'a str> {
    table
        .lines()
        .filter_map(|line| {
            let (mount, rest) = line.split_once(" - ")?;
            let point = mount.split(' ').nth(4)?;
            let point = PathBuf::from(point.replace("\\040", " "));
            path.starts_with(&point)
                .then(|| (point.components().count(), rest.split(' ').next()))
        })
        .max_by_key(|(length, _)| *length)
        .and_then(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_decides() {
        let table = "1 0 8:1 / / rw - ext4 /dev/sda rw\n\
                     2 1 0:50 / /mnt/my\\040share rw,relatime shared:1 - nfs4 server:/x rw\n\
                     3 1 0:51 / /mnt rw - tmpfs none rw";
        assert_eq!(file_system(table, Path::new("/mnt/my share/a.db")), Some("nfs4"));
        assert_eq!(file_system(table, Path::new("/mnt/a.db")), Some("tmpfs"));
        assert_eq!(file_system(table, Path::new("/var/a.db")), Some("ext4"));
    }
}
