//! One QEMU's connection: what it told, and the rings that run by it.

use super::{
    F_PROTOCOL, FEATURES, QUEUES,
    memory::Memory,
    message::{Header, Message, PROTOCOL_REPLY_ACK},
    ring::{Ring, RingSpec},
};
use anyhow::{Context as _, ensure};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::{os::fd::OwnedFd, sync::Arc};

/// Who moves the packets: rings are handed over to run, and come back when they rest.
pub trait Switch: Send {
    /// Runs a ring of the frontend's port.
    ///
    /// # Errors
    /// The switch is gone.
    fn start(&mut self, queue: usize, ring: Ring, features: u64) -> anyhow::Result<()>;
    /// Stops a ring, if it runs.
    ///
    /// # Errors
    /// The switch is gone.
    fn stop(&mut self, queue: usize) -> anyhow::Result<Option<Ring>>;
    /// Gives a running ring another call.
    ///
    /// # Errors
    /// The switch is gone.
    fn set_call(&mut self, queue: usize, call: Option<OwnedFd>) -> anyhow::Result<()>;
}

#[derive(Debug, Default)]
struct Queue {
    spec: RingSpec,
    addressed: bool,
    kick: Option<OwnedFd>,
    call: Option<OwnedFd>,
    enabled: bool,
    running: bool,
}

/// What a connection has agreed so far.
#[derive(Debug, Default)]
pub struct Frontend {
    features: u64,
    protocol_features: u64,
    memory: Option<Arc<Memory>>,
    queues: [Queue; QUEUES],
}

impl Frontend {
    /// Handles a message; what is to be sent back, if anything.
    ///
    /// # Errors
    /// The message makes no sense: the connection is to be closed.
    pub fn receive(
        &mut self,
        header: Header,
        payload: &[u8],
        files: Vec<OwnedFd>,
        switch: &mut dyn Switch,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let message =
            Message::parse(header.request, payload).context("a message of a wrong form")?;
        log::trace!("{message:?} with {} files", files.len());
        let number = |number: u64| Ok(Some(header.reply(&number.to_ne_bytes())));
        if message == Message::GetFeatures {
            return number(FEATURES);
        }
        if message == Message::GetProtocolFeatures {
            return number(PROTOCOL_REPLY_ACK);
        }
        if message == Message::GetQueueNum {
            return number(1);
        }
        if let Message::GetVringBase(queue) = message {
            self.rest(queue, switch)?;
            let state = self.queue(queue)?;
            state.kick = None;
            let base = u32::from(state.spec.base).to_ne_bytes();
            let index = u32::try_from(queue)?.to_ne_bytes();
            return Ok(Some(header.reply(&[index, base].concat())));
        }
        let result = self.change(message, files, switch);
        if self.protocol_features & PROTOCOL_REPLY_ACK != 0 && header.need_reply {
            if let Err(error) = &result {
                log::warn!("vhost-user: {error:#}");
            }
            return number(u64::from(result.is_err()));
        }
        result?;
        Ok(None)
    }

    fn queue(&mut self, queue: usize) -> anyhow::Result<&mut Queue> {
        self.queues.get_mut(queue).context("no such queue")
    }

    fn change(
        &mut self,
        message: Message,
        mut files: Vec<OwnedFd>,
        switch: &mut dyn Switch,
    ) -> anyhow::Result<()> {
        let file = files.pop();
        if let Some(file) = &file {
            // Neither a kick nor a call may make the data path wait.
            let flags = fcntl_getfl(file)?;
            fcntl_setfl(file, flags | OFlags::NONBLOCK)?;
        }
        match message {
            Message::SetFeatures(features) => {
                ensure!(features & !FEATURES == 0, "features {features:#x} were not offered");
                self.rest_all(switch)?;
                self.features = features;
            }
            Message::SetProtocolFeatures(features) => self.protocol_features = features,
            Message::SetMemTable(regions) => {
                files.extend(file);
                ensure!(regions.len() == files.len(), "a file for each memory region");
                self.rest_all(switch)?;
                self.memory = None;
                let specs = regions.into_iter().zip(files).collect();
                self.memory = Some(Arc::new(Memory::new(specs)?));
            }
            Message::SetVringNum(queue, size) => {
                self.rest(queue, switch)?;
                self.queue(queue)?.spec.size = size;
            }
            Message::SetVringBase(queue, base) => {
                self.rest(queue, switch)?;
                self.queue(queue)?.spec.base = base;
            }
            Message::SetVringAddr(queue, [descriptors, used, available]) => {
                self.rest(queue, switch)?;
                let state = self.queue(queue)?;
                state.spec = RingSpec { descriptors, available, used, ..state.spec };
                state.addressed = true;
            }
            Message::SetVringKick(queue) => {
                self.rest(queue, switch)?;
                self.queue(queue)?.kick = file;
            }
            Message::SetVringCall(queue) => {
                let state = self.queue(queue)?;
                if state.running {
                    switch.set_call(queue, file)?;
                } else {
                    state.call = file;
                }
            }
            Message::SetVringEnable(queue, enabled) => {
                self.queue(queue)?.enabled = enabled;
                if !enabled {
                    self.rest(queue, switch)?;
                }
            }
            Message::ResetOwner => self.rest_all(switch)?,
            Message::GetFeatures
            | Message::GetProtocolFeatures
            | Message::GetQueueNum
            | Message::GetVringBase(_)
            | Message::SetOwner
            | Message::SetVringErr
            | Message::SendRarp
            | Message::Unknown => {}
        }
        self.run(switch)
    }

    /// Runs what can run: QEMU tells a ring's parts in any order.
    fn run(&mut self, switch: &mut dyn Switch) -> anyhow::Result<()> {
        let Some(memory) = &self.memory else { return Ok(()) };
        for (index, queue) in self.queues.iter_mut().enumerate() {
            let enabled = queue.enabled || self.features & F_PROTOCOL == 0;
            if queue.running || !enabled || !queue.addressed || queue.spec.size == 0 {
                continue;
            }
            let Some(kick) = queue.kick.take() else { continue };
            let call = queue.call.take();
            let ring = Ring::new(Arc::clone(memory), queue.spec, self.features, kick, call)?;
            switch.start(index, ring, self.features)?;
            queue.running = true;
        }
        Ok(())
    }

    /// Stops a ring and takes its parts back.
    fn rest(&mut self, queue: usize, switch: &mut dyn Switch) -> anyhow::Result<()> {
        let state = self.queue(queue)?;
        if !std::mem::take(&mut state.running) {
            return Ok(());
        }
        if let Some(ring) = switch.stop(queue)? {
            state.spec.base = ring.base();
            let (kick, call) = ring.into_files();
            state.kick = Some(kick);
            state.call = call;
        }
        Ok(())
    }

    /// Stops all rings.
    ///
    /// # Errors
    /// The switch is gone.
    pub fn rest_all(&mut self, switch: &mut dyn Switch) -> anyhow::Result<()> {
        (0..QUEUES).try_for_each(|queue| self.rest(queue, switch))
    }
}
