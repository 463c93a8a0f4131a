//! Calls of librados: steps go in, answers come out, and no pointer leaves this folder.
#![allow(unsafe_code, reason = "librados is a C library, and is only there at run time")]

mod api;
mod flight;

use crate::Settings;
use api::{Api, Handle};
use bytes::Bytes;
use flight::{Done, Flight, Operation, bytes_at};
use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, c_char, c_int},
    fmt, ptr,
    sync::Arc,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// What may be in flight, in units of [`UNIT_BYTES`]. Below librados's own limits (1,024 operations
/// and 100 MiB), at which it would block the thread that submits.
const UNITS: u32 = 60_000;
const UNIT_BYTES: usize = 1024;
/// An operation's share beside its bytes: at most 750 are in flight.
const OPERATION_UNITS: usize = 80;

/// `LIBRADOS_OPERATION_FULL_TRY`: a full pool answers at once; without, operations wait for room.
const FULL_TRY: c_int = 64;
/// `LIBRADOS_OP_FLAG_FADVISE_DONTNEED`
const DONT_NEED: c_int = 0x20;
/// `LIBRADOS_CMPXATTR_OP_EQ`
const EQUAL: u8 = 1;
/// `LIBRADOS_CMPXATTR_OP_GT`: what is given is greater than what is stored.
const GREATER: u8 = 3;

/// An error number of librados, positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    pub const NOT_FOUND: Self = Self(2);
    pub const IO: Self = Self(5);
    pub const EXISTS: Self = Self(17);
    pub const NO_SPACE: Self = Self(28);
    pub const OVER_QUOTA: Self = Self(122);
    /// A guard didn't hold.
    pub const CANCELED: Self = Self(125);
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

fn check(code: c_int) -> Result<(), Errno> {
    if code < 0 { Err(Errno(code.saturating_neg())) } else { Ok(()) }
}

/// Why a pool can't be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenFault {
    #[error(
        "librados.so.2 can't be loaded ({0}): install Ceph's client library, on Debian and Ubuntu \
         the package librados2"
    )]
    Library(Arc<str>),
    /// The step that failed.
    #[error("{0}: {1}")]
    Ceph(String, Errno),
    #[error("{0} contains a zero byte")]
    Zero(&'static str),
}

/// A step of a write: all of them are done as one, or none.
#[derive(Clone, Debug)]
pub enum WriteStep {
    /// Fails with `NOT_FOUND` if there is no such object.
    AssertExists,
    /// Makes the object if it isn't there; if exclusive, fails with `EXISTS` if it is.
    Create {
        exclusive: bool,
    },
    /// Fails with `CANCELED` unless the attribute is this.
    AssertAttribute(&'static CStr, Bytes),
    /// Fails with `CANCELED` unless the attribute, none being the least, is less than this.
    AssertAttributeLess(&'static CStr, Bytes),
    SetAttribute(&'static CStr, Bytes),
    Write {
        offset: u64,
        data: Bytes,
    },
    WriteWhole(Bytes),
    Remove,
    /// Sets values of the object's ordered map.
    SetKeys(Vec<(Bytes, Bytes)>),
    RemoveKeys(Vec<Bytes>),
}

/// What to read of an object, from one view of it.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// Offset and length in bytes of data.
    pub data: Option<(u64, usize)>,
    /// Whether the data shall not stay in the OSD's cache.
    pub uncached: bool,
    pub attributes: bool,
    pub keys: Option<Keys>,
}

/// Keys of the object's ordered map, with values.
#[derive(Clone, Debug)]
pub enum Keys {
    /// Up to `limit` after `after`, as long as they begin with `prefix`.
    Page { after: CString, prefix: CString, limit: u64 },
    /// As a page, with neither prefix nor values.
    Names { after: CString, limit: u64 },
    /// Those of these that are there.
    Each(Vec<Bytes>),
}

/// What was read.
#[derive(Debug, Default)]
pub struct Answer {
    pub data: Bytes,
    pub attributes: BTreeMap<CString, Bytes>,
    pub keys: Vec<(Bytes, Bytes)>,
    /// Whether a page ended for its limit.
    pub more: bool,
}

/// A connection to a cluster, and a pool of it.
pub struct Pool {
    api: &'static Api,
    cluster: Handle,
    context: Handle,
    room: Arc<Semaphore>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

// SAFETY: librados's handles of clusters and contexts may be used by all threads at once; what
// changes a context, its namespace, is set before it is shared.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: nobody else has these handles any more: each operation in flight holds the pool,
        // and no thread of librados drops one. A null context was never made.
        unsafe {
            if !self.context.is_null() {
                (self.api.rados_ioctx_destroy)(self.context);
            }
            (self.api.rados_shutdown)(self.cluster);
        }
    }
}

fn text(what: &'static str, value: &[u8]) -> Result<CString, OpenFault> {
    CString::new(value).map_err(|_| OpenFault::Zero(what))
}

impl Pool {
    /// Connects; blocks for up to the time-out of the settings.
    pub fn open(settings: &Settings) -> Result<Arc<Self>, OpenFault> {
        let api = api::api()?;
        let name = text("the user", format!("client.{}", settings.user).as_bytes())?;
        let path = text("the path", settings.conf.as_os_str().as_encoded_bytes())?;
        let pool = text("the pool", settings.pool.as_bytes())?;
        let namespace = text("the namespace", settings.namespace.as_bytes())?;
        let failed = |step: String| move |errno| OpenFault::Ceph(step, errno);
        let mut cluster = ptr::null_mut();
        // SAFETY: the strings live through the calls, as in all of this function.
        check(unsafe { (api.rados_create2)(&raw mut cluster, c"ceph".as_ptr(), name.as_ptr(), 0) })
            .map_err(failed("make a Ceph client".to_owned()))?;
        let mut open = Self {
            api,
            cluster,
            context: ptr::null_mut(),
            room: Arc::new(Semaphore::new(UNITS as usize)),
        };
        // SAFETY: `cluster` was made above, as for the calls below.
        check(unsafe { (api.rados_conf_read_file)(cluster, path.as_ptr()) })
            .map_err(failed(format!("read {}", settings.conf.display())))?;
        let seconds = text("the time-out", settings.timeout_s.to_string().as_bytes())?;
        for option in [c"rados_osd_op_timeout", c"rados_mon_op_timeout", c"client_mount_timeout"] {
            // SAFETY: as above.
            check(unsafe { (api.rados_conf_set)(cluster, option.as_ptr(), seconds.as_ptr()) })
                .map_err(failed(format!("set {}", option.to_string_lossy())))?;
        }
        // SAFETY: as above.
        check(unsafe { (api.rados_connect)(cluster) })
            .map_err(failed(format!("connect by {}", settings.conf.display())))?;
        // SAFETY: as above; the cluster is connected.
        check(unsafe { (api.rados_ioctx_create)(cluster, pool.as_ptr(), &raw mut open.context) })
            .map_err(failed(format!("open the Ceph pool {}", settings.pool)))?;
        // SAFETY: the context was made above.
        unsafe { (api.rados_ioctx_set_namespace)(open.context, namespace.as_ptr()) };
        Ok(Arc::new(open))
    }

    /// Room for an operation of so many bytes; waits for it.
    async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Errno> {
        let units = u32::try_from(OPERATION_UNITS + bytes.div_ceil(UNIT_BYTES)).unwrap_or(UNITS);
        let room = self.room.clone().acquire_many_owned(units.min(UNITS)).await;
        // Nobody closes the semaphore.
        room.map_err(|_| Errno::CANCELED)
    }

    /// Submits a write. Writes to one object are done in the order of their submission, also when
    /// what is returned here is dropped.
    pub async fn submit(self: &Arc<Self>, object: &CStr, steps: &[WriteStep]) -> Running {
        let mut bytes = 0;
        for step in steps {
            bytes += match step {
                WriteStep::Write { data, .. } | WriteStep::WriteWhole(data) => data.len(),
                WriteStep::SetKeys(keys) => keys.iter().map(|(k, v)| k.len() + v.len()).sum(),
                WriteStep::RemoveKeys(keys) => keys.iter().map(Bytes::len).sum(),
                WriteStep::AssertExists
                | WriteStep::Create { .. }
                | WriteStep::AssertAttribute(..)
                | WriteStep::AssertAttributeLess(..)
                | WriteStep::SetAttribute(..)
                | WriteStep::Remove => 0,
            };
        }
        match self.room(bytes).await {
            Ok(room) => self.start_write(object, steps, room),
            Err(errno) => Running(Err(errno)),
        }
    }

    /// Does a write.
    pub async fn write(self: &Arc<Self>, object: &CStr, steps: &[WriteStep]) -> Result<(), Errno> {
        self.submit(object, steps).await.done().await
    }

    /// Reads.
    pub async fn read(self: &Arc<Self>, object: &CStr, read: &Read) -> Result<Answer, Errno> {
        let room = self.room(read.data.map_or(0, |(_, len)| len)).await?;
        let done = self.start_read(object, read, room)?;
        let (code, mut flight) = done.await.map_err(|_| Errno::CANCELED)?;
        check(code)?;
        flight.answer()
    }

    fn flight(
        self: &Arc<Self>,
        op: Operation,
        room: OwnedSemaphorePermit,
    ) -> (Box<Flight>, oneshot::Receiver<Done>) {
        let (answer, done) = oneshot::channel();
        (Box::new(Flight::new(self.clone(), op, answer, room)), done)
    }

    /// Gives a prepared operation to librados, which calls `completed` once it is done.
    fn launch(&self, flight: Box<Flight>, object: &CStr) -> Result<(), Errno> {
        let flight = Box::into_raw(flight);
        // SAFETY: `flight` comes from a box just above. librados has it from the moment that an
        // operation was submitted with success until it calls `completed`, which takes it back;
        // after a failure, it never calls, and the box is taken back here.
        unsafe {
            let completion = &raw mut (*flight).completion;
            let code = (self.api.rados_aio_create_completion2)(
                flight.cast(),
                flight::completed,
                completion,
            );
            if let Err(errno) = check(code) {
                (*flight).completion = ptr::null_mut();
                drop(Box::from_raw(flight));
                return Err(errno);
            }
            let (completion, context, name) = (*completion, self.context, object.as_ptr());
            let code = match (*flight).op {
                Operation::Write(op) => (self.api.rados_aio_write_op_operate)(
                    op,
                    context,
                    completion,
                    name,
                    ptr::null_mut(),
                    FULL_TRY,
                ),
                Operation::Read(op) => {
                    (self.api.rados_aio_read_op_operate)(op, context, completion, name, 0)
                }
            };
            check(code).inspect_err(|_| drop(Box::from_raw(flight)))
        }
    }

    fn start_write(
        self: &Arc<Self>,
        object: &CStr,
        steps: &[WriteStep],
        room: OwnedSemaphorePermit,
    ) -> Running {
        // SAFETY: it takes nothing.
        let op = unsafe { (self.api.rados_create_write_op)() };
        for step in steps {
            self.add(op, step);
        }
        let (flight, done) = self.flight(Operation::Write(op), room);
        Running(self.launch(flight, object).map(|()| done))
    }

    /// Adds a step to a write operation, which copies all that it is given.
    fn add(&self, op: Handle, step: &WriteStep) {
        let api = self.api;
        let chars = |bytes: &Bytes| bytes.as_ptr().cast::<c_char>();
        // SAFETY: `op` is a write operation that wasn't submitted yet; the pointers and lengths are
        // those of slices that live through the call; names end with a zero.
        unsafe {
            match step {
                WriteStep::AssertExists => (api.rados_write_op_assert_exists)(op),
                WriteStep::Create { exclusive } => {
                    (api.rados_write_op_create)(op, c_int::from(*exclusive), ptr::null());
                }
                WriteStep::AssertAttribute(name, value) => (api.rados_write_op_cmpxattr)(
                    op,
                    name.as_ptr(),
                    EQUAL,
                    chars(value),
                    value.len(),
                ),
                WriteStep::AssertAttributeLess(name, value) => (api.rados_write_op_cmpxattr)(
                    op,
                    name.as_ptr(),
                    GREATER,
                    chars(value),
                    value.len(),
                ),
                WriteStep::SetAttribute(name, value) => {
                    (api.rados_write_op_setxattr)(op, name.as_ptr(), chars(value), value.len());
                }
                WriteStep::Write { offset, data } => {
                    (api.rados_write_op_write)(op, chars(data), data.len(), *offset);
                }
                WriteStep::WriteWhole(data) => {
                    (api.rados_write_op_write_full)(op, chars(data), data.len());
                }
                WriteStep::Remove => (api.rados_write_op_remove)(op),
                WriteStep::SetKeys(entries) => {
                    let (keys, key_lens) = slices(entries.iter().map(|(key, _)| key));
                    let (values, value_lens) = slices(entries.iter().map(|(_, value)| value));
                    (api.rados_write_op_omap_set2)(
                        op,
                        keys.as_ptr(),
                        values.as_ptr(),
                        key_lens.as_ptr(),
                        value_lens.as_ptr(),
                        entries.len(),
                    );
                }
                WriteStep::RemoveKeys(keys) => {
                    let (keys, lens) = slices(keys.iter());
                    let (keys, lens, count) = (keys.as_ptr(), lens.as_ptr(), lens.len());
                    (api.rados_write_op_omap_rm_keys2)(op, keys, lens, count);
                }
            }
        }
    }

    fn start_read(
        self: &Arc<Self>,
        object: &CStr,
        read: &Read,
        room: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Done>, Errno> {
        let api = self.api;
        // SAFETY: it takes nothing.
        let op = unsafe { (api.rados_create_read_op)() };
        let (mut flight, done) = self.flight(Operation::Read(op), room);
        let out = &mut flight.out;
        // SAFETY: the outputs lie in the flight's box, which lives until the operation has
        // completed, and no reference into it is used before. The data's buffer has the capacity
        // that is told. Names and keys are copied.
        unsafe {
            if let Some((offset, len)) = read.data {
                out.data = Vec::with_capacity(len);
                let buffer = out.data.as_mut_ptr().cast();
                let (bytes, code) = (&raw mut out.data_len, &raw mut out.codes[0]);
                (api.rados_read_op_read)(op, offset, len, buffer, bytes, code);
                if read.uncached {
                    (api.rados_read_op_set_flags)(op, DONT_NEED);
                }
            }
            if read.attributes {
                (api.rados_read_op_getxattrs)(op, &raw mut out.attributes, &raw mut out.codes[1]);
            }
            let (keys, more, code) = (&raw mut out.keys, &raw mut out.more, &raw mut out.codes[2]);
            match &read.keys {
                None => {}
                Some(Keys::Page { after, prefix, limit }) => (api.rados_read_op_omap_get_vals2)(
                    op,
                    after.as_ptr(),
                    prefix.as_ptr(),
                    *limit,
                    keys,
                    more,
                    code,
                ),
                Some(Keys::Names { after, limit }) => {
                    (api.rados_read_op_omap_get_keys2)(
                        op,
                        after.as_ptr(),
                        *limit,
                        keys,
                        more,
                        code,
                    );
                }
                Some(Keys::Each(wanted)) => {
                    let (names, lens) = slices(wanted.iter());
                    let (names, count, lens) = (names.as_ptr(), lens.len(), lens.as_ptr());
                    (api.rados_read_op_omap_get_vals_by_keys2)(op, names, count, lens, keys, code);
                }
            }
        }
        self.launch(flight, object).map(|()| done)
    }

    /// Calls `each` with the name of each object of the namespace, until it says no more. Blocks.
    pub fn list(&self, mut each: impl FnMut(&[u8]) -> bool) -> Result<(), Errno> {
        let mut list = ptr::null_mut();
        // SAFETY: the context lives as long as `self`.
        check(unsafe { (self.api.rados_nobjects_list_open)(self.context, &raw mut list) })?;
        let ended = loop {
            let (mut name, mut len) = (ptr::null(), 0);
            let none = ptr::null_mut();
            // SAFETY: the list is open; what isn't wanted of an entry may be null.
            let code = unsafe {
                (self.api.rados_nobjects_list_next2)(
                    list,
                    &raw mut name,
                    none,
                    none,
                    &raw mut len,
                    ptr::null_mut(),
                    ptr::null_mut(),
                )
            };
            if let Err(errno) = check(code) {
                break if errno == Errno::NOT_FOUND { Ok(()) } else { Err(errno) };
            }
            // SAFETY: the name is valid until the next call on the list.
            if !each(unsafe { bytes_at(name, len) }) {
                break Ok(());
            }
        };
        // SAFETY: the list is open, and not used after this.
        unsafe { (self.api.rados_nobjects_list_close)(list) };
        ended
    }

    /// Asks the monitors, in JSON. Blocks.
    pub fn ask(&self, command: &CStr) -> Result<Vec<u8>, Errno> {
        let commands = [command.as_ptr()];
        let (mut out, mut out_len) = (ptr::null_mut(), 0);
        let (mut status, mut status_len) = (ptr::null_mut(), 0);
        // SAFETY: one command that ends with a zero, no input; the outputs are librados's to
        // allocate, and are given back to it below, null or not.
        unsafe {
            let code = (self.api.rados_mon_command)(
                self.cluster,
                commands.as_ptr(),
                commands.len(),
                c"".as_ptr(),
                0,
                &raw mut out,
                &raw mut out_len,
                &raw mut status,
                &raw mut status_len,
            );
            let answer = bytes_at(out, out_len).to_vec();
            for buffer in [out, status] {
                if !buffer.is_null() {
                    (self.api.rados_buffer_free)(buffer);
                }
            }
            check(code).map(|()| answer)
        }
    }
}

/// Pointers to slices, and their lengths.
fn slices<'a>(all: impl Iterator<Item = &'a Bytes>) -> (Vec<*const c_char>, Vec<usize>) {
    all.map(|bytes| (bytes.as_ptr().cast::<c_char>(), bytes.len())).unzip()
}

/// A write that was submitted.
#[derive(Debug)]
pub struct Running(Result<oneshot::Receiver<Done>, Errno>);

impl Running {
    /// Waits until it is durable.
    pub async fn done(self) -> Result<(), Errno> {
        let (code, _flight) = self.0?.await.map_err(|_| Errno::CANCELED)?;
        check(code)
    }
}
