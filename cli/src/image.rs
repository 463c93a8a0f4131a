//! The quick-start images: recipes that travel in this program, built from Debian's packages.

use crate::paths::{Paths, is_root};
use anyhow::Context as _;
use include_dir::{Dir, include_dir};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::fs::{FlockOperation, flock};
use server::BuiltImage;
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    io::{BufRead as _, BufReader, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

static RECIPES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../images");

/// A quick-start image.
#[derive(Debug)]
pub struct Recipe {
    /// The recipe's folder, and what `image build` calls it.
    pub name: &'static str,
    description: &'static str,
    login: &'static str,
    size_gib: u32,
    /// How long a first build takes, for people.
    takes: &'static str,
}

/// All quick-start images.
pub static ALL: [Recipe; 2] = [
    Recipe {
        name: "tiny",
        description: "Fogbank tiny: Debian 12's cloud kernel, busybox and an SSH server",
        login: "ec2-user",
        size_gib: 1,
        takes: "about a minute",
    },
    Recipe {
        name: "debian-12",
        description: "Debian 12 (bookworm) with systemd and cloud-init",
        login: "admin",
        size_gib: 8,
        takes: "2 to 5 minutes",
    },
];

impl Recipe {
    /// The recipe with this name.
    pub fn named(name: &str) -> anyhow::Result<&'static Self> {
        let plain = name.strip_prefix("fogbank-").unwrap_or(name);
        ALL.iter().find(|recipe| recipe.name == plain).with_context(|| {
            let names = ALL.iter().map(|recipe| recipe.name).collect::<Vec<_>>().join(", ");
            format!("there is no image '{name}'; there are: {names}")
        })
    }

    /// The AMI's name and its folder's: it carries the recipe's hash, so a changed recipe is
    /// another image.
    pub fn ami_name(&self) -> String {
        let mut hash = Sha256::new();
        let mut files = Vec::new();
        collect(&RECIPES, &mut files);
        files.sort_by_key(|file| file.path());
        for file in files {
            let path = file.path().to_string_lossy();
            let others = ALL.iter().filter(|other| other.name != self.name);
            let foreign = others.into_iter().any(|other| path.starts_with(other.name));
            if !foreign && path != "README.md" {
                hash.update(path.as_bytes());
                hash.update([0]);
                hash.update(Sha256::digest(file.contents()));
            }
        }
        format!("fogbank-{}-{}", self.name, hex::encode(&hash.finalize()[..4]))
    }

    /// Whether a cloud has the image, and not only the empty one of a simulated cloud.
    pub fn is_built(&self, paths: &Paths) -> bool {
        let folder = paths.images().join(self.ami_name());
        let disk = fs::metadata(folder.join("disk.raw"));
        folder.join("image.json").is_file() && disk.is_ok_and(|disk| disk.len() > 0)
    }

    /// Whether a cloud has the image, or will find it built.
    pub fn is_there(&self, paths: &Paths) -> bool {
        let built = |folder: &Path| folder.join(self.ami_name()).join("image.json").is_file();
        self.is_built(paths)
            || built(Path::new(SHARED))
            || cache().is_ok_and(|folder| built(&folder))
    }

    /// Gives a cloud the image: from the machine's cache, or built.
    pub fn provide(&self, paths: &Paths) -> anyhow::Result<()> {
        let name = self.ami_name();
        if self.is_built(paths) {
            return Ok(());
        }
        let shared = Path::new(SHARED).join(&name);
        let own = cache()?.join(&name);
        let cached = if own.join("image.json").is_file() || !shared.join("image.json").is_file() {
            own
        } else {
            return self.take(paths, &shared);
        };
        // Two clouds that are started at once build an image once.
        let lock = fs::File::create(cached.with_extension("lock"))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            eprintln!("Waiting: another fogbank builds {name} …");
            flock(&lock, FlockOperation::LockExclusive).context("wait for the other build")?;
        }
        if !cached.join("image.json").is_file() {
            self.build(&cached)?;
        }
        self.take(paths, &cached)
    }

    /// Gives a cloud the image that is in a folder: its disk and its description.
    fn take(&self, paths: &Paths, cached: &Path) -> anyhow::Result<()> {
        let name = self.ami_name();
        let folder = paths.images().join(&name);
        let new = paths.images().join(format!(".new-{name}"));
        let _ = fs::remove_dir_all(&new);
        fs::create_dir_all(&new)?;
        for file in ["disk.raw", "image.json"] {
            let (from, to) = (cached.join(file), new.join(file));
            // A link where the file system allows it: images are never written again.
            if fs::hard_link(&from, &to).is_err() {
                copy_sparse(&from, &to)?;
            }
        }
        let _ = fs::remove_dir_all(&folder);
        fs::rename(&new, &folder).with_context(|| format!("make {}", folder.display()))
    }

    fn build(&self, folder: &Path) -> anyhow::Result<()> {
        anyhow::ensure!(
            is_root(),
            "the image {name} is not there, and only root can build it, since its files are root's. \
             Any of these will do:
  sudo {program} image build {recipe}      # once for all users of this machine, to {SHARED}
  copy the folder {SHARED}/{name} of another machine to {folder}
  fogbank up --no-images             # start without",
            name = self.ami_name(),
            recipe = self.name,
            folder = folder.display(),
            program = std::env::current_exe().map_or("fogbank".into(), |path| path.display().to_string()),
        );
        let work = folder.with_extension("build");
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(work.join("scratch"))?;
        fs::create_dir_all(work.join("recipes"))?;
        RECIPES.extract(work.join("recipes")).context("write the recipes")?;
        let disk = work.join("disk.raw");
        let built = self.run_recipe(&work, &disk);
        if built.is_ok() {
            self.describe(&work)?;
            // A power cut must not leave a description beside an empty disk.
            for file in ["disk.raw", "image.json"] {
                fs::File::open(work.join(file))?.sync_all()?;
            }
            for part in ["scratch", "recipes"] {
                let _ = fs::remove_dir_all(work.join(part));
            }
            let _ = fs::remove_dir_all(folder);
            fs::rename(&work, folder).with_context(|| format!("make {}", folder.display()))?;
        }
        built
    }

    fn run_recipe(&self, work: &Path, disk: &Path) -> anyhow::Result<()> {
        let label = format!("fogbank-{}", self.name);
        let mut bar = progress(&label, self.takes);
        let mut child = Command::new("bash")
            .arg(work.join("recipes").join(self.name).join("build.sh"))
            .arg(work.join("scratch"))
            .arg(disk)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start bash")?;
        let mut last = String::new();
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(rest) = line.strip_prefix("progress ") {
                    let (percent, text) = rest.split_once(' ').unwrap_or((rest, ""));
                    bar.update(percent.parse().unwrap_or(0), text);
                } else {
                    last = line;
                }
            }
        }
        let mut errors = String::new();
        if let Some(mut output) = child.stderr.take() {
            let _ = output.read_to_string(&mut errors);
        }
        let status = child.wait()?;
        bar.end(status.success());
        let why = last.strip_prefix("error ").unwrap_or(errors.trim());
        anyhow::ensure!(
            status.success(),
            "the image {label} could not be built: {why}\nThe log is {}",
            work.join("scratch/build.log").display()
        );
        Ok(())
    }

    fn describe(&self, folder: &Path) -> anyhow::Result<()> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let image = BuiltImage {
            name: self.ami_name(),
            description: self.description.to_owned(),
            size_gib: self.size_gib,
            root_device_name: "/dev/xvda".to_owned(),
            boot_mode: "legacy-bios".to_owned(),
            architecture: "x86_64".to_owned(),
            login: self.login.to_owned(),
            created_ms: i64::try_from(since.as_millis())?,
        };
        fs::write(folder.join("image.json"), serde_json::to_vec_pretty(&image)?)
            .context("describe the image")
    }
}

fn collect<'a>(dir: &'a Dir<'a>, files: &mut Vec<&'a include_dir::File<'a>>) {
    files.extend(dir.files());
    for dir in dir.dirs() {
        collect(dir, files);
    }
}

/// Where root builds images, for all users of the machine.
const SHARED: &str = "/var/cache/fogbank/images";

/// The user's folder of built images, which all of its clouds share.
fn cache() -> anyhow::Result<PathBuf> {
    let path = if is_root() {
        PathBuf::from(SHARED)
    } else {
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(home)
            .context("there is neither HOME nor XDG_CACHE_HOME")?
            .join("fogbank/images")
    };
    fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
    Ok(path)
}

fn copy_sparse(from: &Path, to: &Path) -> anyhow::Result<()> {
    let status = Command::new("cp")
        .args(["--reflink=auto", "--sparse=always", "--"])
        .args([from, to])
        .status()
        .context("start cp")?;
    anyhow::ensure!(status.success(), "copy {} to {}", from.display(), to.display());
    Ok(())
}

/// A progress bar on a terminal, else a line now and then.
struct Progress {
    bar: Option<ProgressBar>,
    label: String,
    started: Instant,
    said: Option<Instant>,
}

fn progress(label: &str, takes: &str) -> Progress {
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::new(100);
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {percent:>3}% {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(500));
        bar
    });
    eprintln!("Building {label} from Debian's packages: {takes}, once.");
    Progress { bar, label: label.to_owned(), started: Instant::now(), said: None }
}

impl Progress {
    fn update(&mut self, percent: u64, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(percent);
                bar.set_message(text.to_owned());
            }
            None if self.said.is_none_or(|at| at.elapsed() > Duration::from_secs(3)) => {
                eprintln!("{} {percent:>3}% {text}", self.label);
                self.said = Some(Instant::now());
            }
            None => {}
        }
    }

    fn end(self, good: bool) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if good {
            eprintln!("Built {} in {} s.", self.label, self.started.elapsed().as_secs());
        }
    }
}

/// `fogbank image list`.
pub fn list(paths: &Paths) {
    out!("{:<12} {:<28} {:<10} {:<9} DESCRIPTION", "NAME", "AMI NAME", "LOGIN", "BUILT");
    for recipe in &ALL {
        let built = if recipe.is_built(paths) { "yes" } else { "no" };
        out!(
            "{:<12} {:<28} {:<10} {built:<9} {}",
            recipe.name,
            recipe.ami_name(),
            recipe.login,
            recipe.description
        );
    }
}

/// Gives a simulated cloud an image with an empty disk, so that there is something to launch.
pub fn pretend(paths: &Paths) -> anyhow::Result<()> {
    for recipe in &ALL {
        let folder = paths.images().join(recipe.ami_name());
        if folder.join("image.json").is_file() {
            continue;
        }
        fs::create_dir_all(&folder)?;
        fs::File::create(folder.join("disk.raw"))?;
        recipe.describe(&folder)?;
    }
    Ok(())
}
