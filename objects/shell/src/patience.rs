//! Waiting for storage nodes to open, and not for ever for the slow ones.

use node::OpenFault;
use std::{collections::BTreeMap, time::Duration};
use tokio::task::JoinSet;

/// A node that makes its index anew may take minutes: if more than half are open after so long, the
/// others are missed until they are open, too.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// What came of openings, in their order; they run at once. Without `patience` all are waited for.
/// One that is late goes on by itself, and what it gives is dropped.
pub async fn opened<T: Send + 'static>(
    openings: Vec<impl Future<Output = Result<T, OpenFault>> + Send + 'static>,
    patience: Option<Duration>,
) -> Vec<Result<T, OpenFault>> {
    let count = openings.len();
    let mut running = JoinSet::new();
    for (at, opening) in openings.into_iter().enumerate() {
        running.spawn(async move { (at, opening.await) });
    }
    let mut found = BTreeMap::new();
    let mut late = std::pin::pin!(tokio::time::sleep(patience.unwrap_or_default()));
    loop {
        let open = found.values().filter(|found: &&Result<T, _>| found.is_ok()).count();
        let is_enough = patience.is_some() && open * 2 > count;
        tokio::select! {
            biased;
            next = running.join_next() => match next {
                Some(Ok((at, result))) => drop(found.insert(at, result)),
                Some(Err(error)) => log::error!("a storage node's opening has failed: {error}"),
                None => break,
            },
            () = &mut late, if is_enough => break,
        }
    }
    running.detach_all();
    (0..count).map(|at| found.remove(&at).unwrap_or(Err(OpenFault::Late))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    async fn wait(seconds: [u64; 3], patience: Option<Duration>) -> (u64, Vec<Option<u64>>) {
        let openings = seconds.map(|seconds| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            if seconds == 1 { Err(OpenFault::Absent) } else { Ok(seconds) }
        });
        let began = Instant::now();
        let found = opened(openings.into(), patience).await;
        let took = began.elapsed().as_secs();
        (took, found.into_iter().map(Result::ok).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_is_waited_for_as_long_as_it_is_needed() {
        let patience = Some(PATIENCE);
        assert_eq!(wait([2, 3, 4], patience).await, (4, vec![Some(2), Some(3), Some(4)]));
        assert_eq!(wait([2, 300, 4], patience).await, (15, vec![Some(2), None, Some(4)]));
        // Two of three are needed.
        assert_eq!(wait([200, 300, 4], patience).await, (200, vec![Some(200), None, Some(4)]));
        assert_eq!(wait([1, 300, 4], patience).await, (300, vec![None, Some(300), Some(4)]));
        assert_eq!(wait([2, 300, 4], None).await, (300, vec![Some(2), Some(300), Some(4)]));
    }
}
