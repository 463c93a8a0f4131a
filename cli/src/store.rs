//! `fogbank objects`: the object store's nodes, and where objects are.

use crate::{
    paths::Paths,
    settings::{self, Settings},
};
use anyhow::Context as _;
use contracts::objects::{
    Location, NodeStatus, ObjectsReply, ObjectsRequest, StorageNode, StoreStatus,
};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// How long the object store may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a node that is to go is looked at.
const DRAIN_POLL: Duration = Duration::from_millis(200);
/// How often it is said how far that is, at least.
const DRAIN_SAY: Duration = Duration::from_secs(10);

/// What can be asked of the object store.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show the storage nodes and how whole the store is; fails if copies are missing
    ///
    /// Every object is kept on as many nodes as there are copies, never two of them in one
    /// failure domain. "missing" and "corrupt" count blobs that a node had lost or that its disk
    /// gave back wrong: each was answered from another copy and made anew.
    Status {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Show which nodes have an object
    ///
    /// The slot of an object follows from its bucket and key alone, and the nodes from the slot:
    /// a key that was never written has its place, too.
    Locate {
        /// Such as s3://photos/2026/beach.jpg
        url: String,
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Add or remove storage nodes while the cloud runs
    #[command(arg_required_else_help = true)]
    Node {
        #[command(subcommand)]
        command: NodeCommand,
    },
    /// Go on without storage nodes that are gone for good, though the others lack copies
    ///
    /// A store whose disks are away for the moment needs no command: it starts, or goes on, once
    /// they are back. This one is for when more than half of the nodes will never come back, so
    /// that nobody can say any more what was stored. Objects of which the others have no copy are
    /// LOST; of some they may have an older version, and deleted ones may be back. The nodes are
    /// made anew, empty, in their folders, and filled from the others.
    AcceptLoss {
        /// The nodes that are gone, as the error of the start names them
        #[arg(required = true)]
        names: Vec<String>,
        /// Don't ask
        #[arg(long)]
        yes: bool,
    },
    /// Read and compare every copy of everything, from now on in the background
    ///
    /// This is also done by itself, once a week. 'fogbank objects status' counts the rounds. With
    /// Ceph, which compares its copies itself, it only frees what nothing refers to any more.
    Scrub,
    /// For tests of lifecycle rules: set the store's clock forward, and apply the rules
    ///
    /// The clock is right again when the store is started the next time.
    AdvanceClock {
        /// How far, in days
        #[arg(value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
}

/// What can be done with a storage node.
#[derive(Debug, clap::Subcommand)]
pub enum NodeCommand {
    /// Take a folder in as a storage node; its share of the objects moves there by and by
    ///
    ///   fogbank objects node add /mnt/disk4
    ///   fogbank objects node add /mnt/big --weight 400 --domain rack-2
    #[command(verbatim_doc_comment)]
    Add {
        /// An empty folder, best on a disk of its own; made if it isn't there
        folder: PathBuf,
        /// Its share, in proportion to the other nodes'
        #[arg(long, default_value_t = settings::DEFAULT_WEIGHT, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        weight: u32,
        /// What fails together with it, such as a disk shelf [default: a domain of its own]
        #[arg(long)]
        domain: Option<String>,
        /// Its name [default: the next of node-1, node-2 …]
        #[arg(long)]
        name: Option<String>,
    },
    /// Move a node's share to the others, then let go of it
    ///
    /// This takes as long as its objects take to move; interrupted, it goes on in the background,
    /// and the same command waits for it again. Its folder stays, and may then be deleted.
    Remove {
        /// As 'fogbank objects status' shows it
        name: String,
        /// Give up waiting when nothing has moved for so long
        #[arg(long, value_name = "SECONDS", default_value_t = 300)]
        patience: u64,
    },
    /// Make a node anew whose disk is lost, empty, and fill it from the others
    ///
    ///   fogbank objects node replace node-2
    ///   fogbank objects node replace node-2 --folder /mnt/new-disk
    ///
    /// A node whose folder is empty may only be unmounted: so this is never done without being
    /// asked for.
    #[command(verbatim_doc_comment)]
    Replace {
        /// As 'fogbank objects status' shows it, or its folder
        node: String,
        /// Where it shall be from now on [default: where it was]
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
    },
}

/// Runs a command on the object store.
pub fn run(paths: &Paths, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Status { json } => {
            let status = status(paths)?;
            if json {
                out!("{}", serde_json::to_string_pretty(&status)?);
            } else {
                show(&status);
            }
            return Ok(if is_well(&status) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Locate { url, json } => locate(paths, &url, json)?,
        Command::Node { command: NodeCommand::Add { folder, weight, domain, name } } => {
            add(paths, &folder, weight, domain, name)?;
        }
        Command::Node { command: NodeCommand::Remove { name, patience } } => {
            remove(paths, &name, Duration::from_secs(patience))?;
        }
        Command::Node { command: NodeCommand::Replace { node, folder } } => {
            replace(paths, &node, folder)?;
        }
        Command::AcceptLoss { names, yes } => accept_loss(paths, &names, yes)?,
        Command::Scrub => {
            done(paths, &ObjectsRequest::Scrub)?;
            out!("Scrubbing has begun; 'fogbank objects status' counts what it finds.");
        }
        Command::AdvanceClock { days } => {
            done(paths, &ObjectsRequest::AdvanceClock { days })?;
            out!(
                "The store is {} ahead, and lifecycle rules were applied.",
                counted(days.into(), "day")
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How the object store is.
pub fn status(paths: &Paths) -> anyhow::Result<StoreStatus> {
    match ask(paths, &ObjectsRequest::Status)? {
        ObjectsReply::Status(status) => Ok(status),
        ObjectsReply::Done | ObjectsReply::Located(_) | ObjectsReply::Refused(_) => {
            anyhow::bail!("the object store gave another answer than was asked for")
        }
    }
}

/// Whether all that is stored has all its copies.
pub fn is_well(status: &StoreStatus) -> bool {
    let down = |node: &NodeStatus| ["down", "lost", "out"].contains(&node.state.as_str());
    status.slots_missing_copies == 0
        && status.slots_unavailable == 0
        && !status.nodes.iter().any(down)
}

/// The store in a line.
pub fn summary(status: &StoreStatus) -> String {
    let whole = match (status.slots_unavailable, status.slots_missing_copies) {
        (0, 0) => "all whole".to_owned(),
        (0, missing) => {
            format!("{missing} of {} copies are missing", status.slots * status.replicas)
        }
        (gone, _) => format!("{gone} of {} slots can't be used", status.slots),
    };
    let place = match &status.ceph {
        Some(pool) => format!("in {pool}, copies are Ceph's"),
        None => {
            format!("on {} storage nodes, {}", status.nodes.len(), copies(status.replicas))
        }
    };
    format!(
        "{}{} in {} {place}: {whole}",
        if status.objects_are_more { "more than " } else { "" },
        counted(status.objects, "object"),
        counted(status.buckets, "bucket"),
    )
}

fn copies(count: u64) -> String {
    if count == 1 { "1 copy".to_owned() } else { format!("{count} copies") }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The nodes that don't take part, a line each.
pub fn complaints(status: &StoreStatus) -> Vec<String> {
    let away = status.nodes.iter().filter(|node| node.state == "down" || node.state == "lost");
    away.map(|node| {
        let reason = node.reason.as_deref().unwrap_or("no reason is known");
        let advice = if node.state == "lost" {
            format!(
                ". Mount it, or, if it is gone for good, make the node anew: 'fogbank objects node \
                 replace {}'",
                node.name
            )
        } else {
            String::new()
        };
        format!("{} in {} is {}: {reason}{advice}", node.name, node.folder.display(), node.state)
    })
    .collect()
}

fn show(status: &StoreStatus) {
    out!("{}", summary(status));
    if status.scrubs > 0 {
        out!("{:<12}{} since the store was started", "scrubbed", counted(status.scrubs, "time"));
    }
    for activity in &status.activities {
        let (done, total, unit) = (activity.done, activity.total, &activity.unit);
        out!("{:<12}{done} of {total} {unit}", activity.name);
    }
    out!(
        "\n{:<10} {:<8} {:<10} {:>6} {:>11} {:>10} {:>8} {:>8} {:>10} {:>10}  WHERE",
        "NODE",
        "STATE",
        "DOMAIN",
        "WEIGHT",
        "IN SYNC",
        "RECORDS",
        "MISSING",
        "CORRUPT",
        "USED",
        "FREE"
    );
    for node in &status.nodes {
        let NodeStatus { name, folder, domain, weight, state, .. } = node;
        out!(
            "{name:<10} {state:<8} {domain:<10} {weight:>6} {:>11} {:>10} {:>8} {:>8} {:>10} {:>10}  {}",
            format!("{}/{}", node.slots_in_sync, node.slots),
            node.records,
            node.missing,
            node.corrupt,
            size(node.used_bytes),
            size(node.available_bytes),
            folder.display()
        );
        if let Some(reason) = &node.reason {
            out!("{:<10} {reason}", "");
        }
    }
}

/// A size for people.
fn size(bytes: u64) -> String {
    let mut unit = "B";
    let mut whole = bytes;
    let mut rest = 0;
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if whole < 1024 {
            break;
        }
        (rest, whole, unit) = (whole % 1024 * 10 / 1024, whole / 1024, larger);
    }
    if unit == "B" || whole >= 100 {
        format!("{whole} {unit}")
    } else {
        format!("{whole}.{rest} {unit}")
    }
}

fn locate(paths: &Paths, url: &str, json: bool) -> anyhow::Result<()> {
    let (bucket, key) = url
        .strip_prefix("s3://")
        .and_then(|rest| rest.split_once('/'))
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        .context("give an object as s3://BUCKET/KEY")?;
    let request = ObjectsRequest::Locate { bucket: bucket.to_owned(), key: key.to_owned() };
    let ObjectsReply::Located(location) = ask(paths, &request)? else {
        anyhow::bail!("the object store gave another answer than was asked for");
    };
    if json {
        out!("{}", serde_json::to_string_pretty(&location)?);
        return Ok(());
    }
    let Location { slot, copies, versions } = location;
    out!("Slot      {slot} of 4096");
    for copy in copies {
        let sync = if copy.in_sync { "in sync" } else { "NOT in sync" };
        let records = copy
            .records
            .map_or("not to be asked".to_owned(), |records| counted(records, "version"));
        out!("Node      {:<10} {sync}, {records}", copy.node);
    }
    for version in &versions {
        out!("Version   {version}");
    }
    if versions.is_empty() {
        out!("There is no such object; it would be there.");
    }
    Ok(())
}

/// The node is in the settings first: one that is in the store but unknown at the next start
/// would be missed, the other way round it is taken in.
fn add(
    paths: &Paths,
    folder: &std::path::Path,
    weight: u32,
    domain: Option<String>,
    name: Option<String>,
) -> anyhow::Result<()> {
    let mut settings =
        Settings::load(paths)?.context("no cloud here yet: start one with 'fogbank up'")?;
    let before = settings.clone();
    let folder = std::path::absolute(folder)?;
    refuse_with_ceph(&settings)?;
    let taken = settings.nodes.iter().find(|node| node.folder == folder);
    if let Some(node) = taken {
        anyhow::bail!("{} is the folder of {} already", folder.display(), node.name);
    }
    let name = name.unwrap_or_else(|| settings::free_name(&settings.nodes));
    anyhow::ensure!(
        settings.nodes.iter().all(|node| node.name != name),
        "there is a storage node {name} already"
    );
    let domain = domain.unwrap_or_else(|| name.clone());
    let node = StorageNode { name: name.clone(), folder, weight, domain };
    settings.nodes.push(node.clone());
    settings.save(paths)?;
    if let Err(error) = done(paths, &ObjectsRequest::AddNode(node)) {
        before.save(paths)?;
        return Err(error);
    }
    out!("{name} is a storage node; 'fogbank objects status' shows its share moving there.");
    Ok(())
}

fn refuse_with_ceph(settings: &Settings) -> anyhow::Result<()> {
    match &settings.ceph {
        Some(pool) => anyhow::bail!(
            "this cloud keeps its objects in {}: add OSDs to Ceph, or take them away, instead of \
             storage nodes",
            pool.place()
        ),
        None => Ok(()),
    }
}

fn remove(paths: &Paths, name: &str, patience: Duration) -> anyhow::Result<()> {
    let mut settings =
        Settings::load(paths)?.context("no cloud here yet: start one with 'fogbank up'")?;
    refuse_with_ceph(&settings)?;
    anyhow::ensure!(
        settings.nodes.iter().any(|node| node.name == name),
        "there is no storage node {name}; 'fogbank objects status' lists them"
    );
    // It may be gone from the store already, and only not from the settings.
    if status(paths)?.nodes.iter().any(|node| node.name == name) {
        done(paths, &ObjectsRequest::RemoveNode(name.to_owned()))?;
        drained(paths, name, patience)?;
    }
    settings.nodes.retain(|node| node.name != name);
    settings.save(paths)?;
    out!("{name} is no storage node any more; its folder may be deleted.");
    Ok(())
}

/// Waits until a node is none of the store's. It is needed until the last of its share is
/// elsewhere, over restarts, too.
fn drained(paths: &Paths, name: &str, patience: Duration) -> anyhow::Result<()> {
    let (mut moved, mut said) = (Instant::now(), None::<Instant>);
    let mut before = Vec::new();
    loop {
        let status = status(paths)?;
        let Some(node) = status.nodes.iter().find(|node| node.name == name) else { return Ok(()) };
        let now = progress(&status, node);
        if now != before {
            (moved, before) = (Instant::now(), now);
        }
        let why = node.reason.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        anyhow::ensure!(
            moved.elapsed() < patience,
            "nothing has moved for {} s{why}: {} slots are still on {name}. It goes on by itself; the \
             same command waits for it again",
            patience.as_secs(),
            node.slots
        );
        if said.is_none_or(|at| at.elapsed() >= DRAIN_SAY) {
            let all = status.activities.iter().find(|activity| activity.name == "healing");
            let copies = all.map_or(String::new(), |all| {
                format!(", {} copies of slots to be made elsewhere", all.total - all.done)
            });
            eprintln!("{} of its slots are still to move{copies}{why} …", node.slots);
            said = Some(Instant::now());
        }
        std::thread::sleep(DRAIN_POLL);
    }
}

/// What changes as long as a node's share moves.
fn progress(status: &StoreStatus, node: &NodeStatus) -> Vec<u64> {
    let others = status.nodes.iter().map(|node| node.records);
    let activities = status.activities.iter().map(|activity| activity.done);
    [node.slots, status.slots_missing_copies].into_iter().chain(others).chain(activities).collect()
}

/// In the settings first, as in [`add`].
fn replace(paths: &Paths, node: &str, folder: Option<PathBuf>) -> anyhow::Result<()> {
    let mut settings =
        Settings::load(paths)?.context("no cloud here yet: start one with 'fogbank up'")?;
    refuse_with_ceph(&settings)?;
    let before = settings.clone();
    let named = std::path::absolute(node)?;
    let known = settings.nodes.iter_mut().find(|known| known.name == node || known.folder == named);
    let known = known.with_context(|| {
        format!("there is no storage node {node}; see 'fogbank objects status'")
    })?;
    if let Some(folder) = folder {
        known.folder = std::path::absolute(folder)?;
    }
    let known = known.clone();
    let same = settings.nodes.iter().filter(|node| node.folder == known.folder).count();
    anyhow::ensure!(same == 1, "{} is another node's folder", known.folder.display());
    settings.save(paths)?;
    if let Err(error) = done(paths, &ObjectsRequest::ReplaceNode(known.clone())) {
        before.save(paths)?;
        return Err(error);
    }
    out!("{} is made anew; 'fogbank objects status' shows how it is filled.", known.name);
    Ok(())
}

fn accept_loss(paths: &Paths, names: &[String], yes: bool) -> anyhow::Result<()> {
    let settings =
        Settings::load(paths)?.context("no cloud here yet: start one with 'fogbank up'")?;
    refuse_with_ceph(&settings)?;
    for name in names {
        anyhow::ensure!(
            settings.nodes.iter().any(|node| node.name == *name),
            "there is no storage node {name}"
        );
    }
    anyhow::ensure!(
        status(paths).is_err(),
        "the store runs, so enough of its nodes are there; 'fogbank objects node replace' makes one \
         anew that is lost"
    );
    let left: Vec<_> = settings.nodes.iter().filter(|node| !names.contains(&node.name)).collect();
    let left: Vec<_> = left.iter().map(|node| node.name.as_str()).collect();
    eprintln!(
        "This gives up what is on {}, and goes on with {}.\nObjects of which there is no other copy \
         are LOST, some may be older than they were, and deleted ones may be back.\nIf those disks \
         can be brought back, do that instead: nothing is lost then.",
        names.join(", "),
        if left.is_empty() {
            "an empty store".to_owned()
        } else {
            format!("what is on {}", left.join(", "))
        }
    );
    if !yes {
        eprint!("Type 'accept loss': ");
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        anyhow::ensure!(answer.trim() == "accept loss", "nothing was given up");
    }
    let path = paths.objects().join(contracts::objects::ACCEPT_LOSS);
    std::fs::write(&path, serde_json::to_vec(names)?)
        .with_context(|| format!("write {}", path.display()))?;
    out!("Accepted: the store goes on without them when it starts ('fogbank up').");
    Ok(())
}

fn done(paths: &Paths, request: &ObjectsRequest) -> anyhow::Result<()> {
    ask(paths, request).map(|_| ())
}

fn ask(paths: &Paths, request: &ObjectsRequest) -> anyhow::Result<ObjectsReply> {
    let mut stream = UnixStream::connect(paths.run_file("objects-admin.sock"))
        .context("the object store is not running: start the cloud with 'fogbank up'")?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply).context("the object store does not answer")?;
    match serde_json::from_str(&reply).context("read the object store's answer")? {
        ObjectsReply::Refused(why) => anyhow::bail!("{why}"),
        reply @ (ObjectsReply::Done | ObjectsReply::Status(_) | ObjectsReply::Located(_)) => {
            Ok(reply)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        let cases = [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size(1 << 47), "128 TiB");
    }

    #[test]
    fn nodes_get_names_that_are_free() {
        let folders = ["/a", "/b", "/c"].map(PathBuf::from);
        let mut nodes = settings::storage_nodes(&folders).unwrap();
        assert_eq!(settings::free_name(&nodes), "node-4");
        nodes.remove(0);
        assert_eq!(settings::free_name(&nodes), "node-4");
        assert!(settings::storage_nodes(&["/a".into(), "/a".into()]).is_err());
    }
}
