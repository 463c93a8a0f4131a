//! The log of a process that runs for months: once it is full, a new one is begun.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

/// A log that has come to this many bytes is put aside as `.old`, in the place of the one before: a
/// process keeps twice as much at most.
const MAX_LOG: u64 = 8 << 20;

/// Opens a log to append to.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// A log whose length has a limit. Nothing is lost where it can't be put aside: it grows then.
pub struct LogFile {
    path: PathBuf,
    file: File,
    max: u64,
    /// What else shall write to the new log.
    begun: fn(&File) -> io::Result<()>,
}

impl LogFile {
    /// The log at this path, if it is what this process has as its standard error. A new one becomes
    /// its standard output and error: panics and the messages of child processes go there, too.
    pub fn of_stderr(path: PathBuf) -> Option<Self> {
        let file = File::from(io::stderr().as_fd().try_clone_to_owned().ok()?);
        is_at(&file, &path).then_some(Self { path, file, max: MAX_LOG, begun: onto_standard })
    }

    fn make_room(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() < self.max {
            return Ok(());
        }
        // The process that this one takes over from may have put it aside already.
        if is_at(&self.file, &self.path) {
            fs::rename(&self.path, self.path.with_extension("log.old"))?;
        }
        let file = open(&self.path)?;
        (self.begun)(&file)?;
        self.file = file;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.make_room();
        self.file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    file.metadata().ok().map(place) == fs::metadata(path).ok().map(place)
}

fn onto_standard(file: &File) -> io::Result<()> {
    rustix::stdio::dup2_stdout(file)?;
    rustix::stdio::dup2_stderr(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 4096;

    fn log(folder: &Path) -> LogFile {
        let path = folder.join("role.log");
        LogFile { file: open(&path).expect("a log"), path, max: MAX, begun: |_| Ok(()) }
    }

    fn lines(folder: &Path, name: &str) -> Vec<usize> {
        let text = fs::read_to_string(folder.join(name)).expect("a log");
        text.lines().map(|line| line.parse().expect("a whole line")).collect()
    }

    #[test]
    fn a_log_has_its_limit_and_loses_nothing_new() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let mut log = log(folder);
        for number in 0..5000 {
            log.write_all(format!("{number:09}\n").as_bytes()).expect("written");
            let length = fs::metadata(folder.join("role.log")).expect("a log").len();
            assert!(length < MAX + 10, "{length}");
        }
        let (old, new) = (lines(folder, "role.log.old"), lines(folder, "role.log"));
        assert!(u64::try_from(old.len()).expect("few") * 10 >= MAX);
        let kept = old.into_iter().chain(new).collect::<Vec<_>>();
        assert_eq!(kept, (5000 - kept.len()..5000).collect::<Vec<_>>());
    }

    #[test]
    fn two_processes_put_a_log_aside_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let (mut before, mut after) = (log(folder), log(folder));
        let full = MAX / 10 + 1;
        for number in 0..full {
            before.write_all(format!("{number:09}\n").as_bytes()).expect("written");
        }
        after.write_all(b"1\n").expect("written");
        before.write_all(b"2\n").expect("written");
        assert_eq!(lines(folder, "role.log"), [1, 2]);
        assert_eq!(lines(folder, "role.log.old").len(), usize::try_from(full).expect("few"));
    }

    #[test]
    fn a_log_that_stays_where_it_is_grows() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = log(folder.path());
        // A folder in its place: the rename fails.
        fs::create_dir_all(folder.path().join("role.log.old/x")).expect("a folder");
        let line = vec![b'1'; usize::try_from(MAX).expect("few")];
        for _ in 0..3 {
            log.write_all(&line).expect("written");
        }
        let length = fs::metadata(folder.path().join("role.log")).expect("a log").len();
        assert_eq!(length, 3 * MAX);
    }

    #[test]
    fn standard_error_elsewhere_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(LogFile::of_stderr(folder.path().join("role.log")).is_none());
    }
}
