//! Power cuts and kills at any call of the disk: what was acknowledged is whole, nothing is half,
//! and what was seen after a start stays.
//!
//! `FOGBANK_SEEDS=100000 cargo nextest run -p node any_power_cut` runs more.

use super::{bytes, model::Model, open, try_open};
use crate::{
    NodeFault,
    disk::{Dice, SimDisk},
    store::{Store, Work},
};
use std::sync::Arc;

const SEEDS: u64 = 300;
const LIVES: u64 = 5;

/// One thing that a node is asked for; none if the power went out meanwhile.
fn step(store: &Arc<Store>, model: &mut Model, dice: &mut Dice) -> Option<()> {
    match dice.roll(12) {
        0 => {
            let (name, what) = model.blob(dice);
            let mut file = powered(store.create_blob(name))?;
            powered(file.write(bytes(what.0, what.1)))?;
            if dice.roll(5) > 0 {
                powered(file.finish())?;
                model.pending.insert(name, what);
            }
        }
        1 => {
            let idle = dice.roll(2) == 0;
            powered(store.tend(idle))?;
        }
        2 => powered(store.move_only())?,
        3 => {
            let (name, (seed, len)) = model.now.blobs.iter().nth(dice.index(40))?.to_owned();
            let data = bytes(*seed, *len);
            let work = if dice.roll(2) == 0 {
                Work::RepairInLog(*name, data)
            } else {
                let mut file = powered(store.create_blob(*name))?;
                powered(file.write(data))?;
                Work::RepairInFile(*name, powered(file.finish())?)
            };
            powered(store.commit_group(vec![work]).remove(0))?;
        }
        4 => {
            model.floor = model.floor.max(model.sequence.saturating_sub(dice.roll(20)));
            model.changed.retain(|(sequence, _)| *sequence >= model.floor);
            powered(store.forget_before(model.floor))?;
        }
        _ => {
            let count = 1 + dice.roll(4);
            let batches: Vec<_> = (0..count).map(|_| model.batch(dice)).collect();
            let works = batches.iter().cloned().map(Work::Batch).collect();
            for result in store.commit_group(works) {
                powered(result)?;
            }
            model.acknowledged(&batches);
            powered(store.tend(false))?;
        }
    }
    Some(())
}

/// None if it failed since the power went out; it may not fail otherwise.
fn powered<T>(result: Result<T, NodeFault>) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(NodeFault::Down(why)) => {
            assert!(why.contains("no power"), "{why}");
            None
        }
        Err(fault) => panic!("{fault}"),
    }
}

fn run(seed: u64) {
    let mut dice = Dice::new(seed);
    let mut disk = SimDisk::new(seed);
    let mut model = Model::default();
    for life in 0..LIVES {
        let what = format!("seed {seed}, life {life}");
        // Sometimes while it opens, mostly later.
        let calls = if dice.roll(3) == 0 { dice.roll(40) } else { dice.roll(1500) };
        disk.cut_power_after(calls);
        let opened = try_open(&disk);
        if let Ok((store, report)) = &opened {
            assert!(!report.is_damaged() && !report.index_rebuilt, "{what}: {report:?}");
            let mut steps = 0;
            while !disk.is_off() && steps < 400 {
                step(store, &mut model, &mut dice);
                steps += 1;
            }
        } else {
            assert!(disk.is_off(), "{what}: it doesn't open");
        }
        disk = if dice.roll(3) == 0 { disk.kill() } else { disk.crash() };
        // Not before: it would close in order.
        drop(opened);
        // The log alone must do, too.
        let is_lost = dice.roll(3) == 0 && disk.lose("index.redb");
        let (store, report) = open(&disk);
        let has_log = disk.files().iter().any(|(path, _)| path.starts_with("log/"));
        assert_eq!(report.index_rebuilt, is_lost && has_log, "{what}");
        assert!(!report.is_damaged(), "{what}: {report:?}");
        model.check(&store, &what);
        if dice.roll(2) == 0 {
            drop(store);
        }
        disk = disk.crash();
    }
}

#[test]
fn any_power_cut_keeps_what_was_acknowledged() {
    let seeds = std::env::var("FOGBANK_SEEDS").ok().and_then(|text| text.parse().ok());
    let seeds = seeds.unwrap_or(SEEDS);
    std::thread::scope(|scope| {
        for part in 0..2 {
            scope.spawn(move || (0..seeds).filter(|seed| seed % 2 == part).for_each(run));
        }
    });
}
