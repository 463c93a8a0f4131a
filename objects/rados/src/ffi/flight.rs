//! An operation on its way: what librados writes into lives as long as it may.

use super::{Answer, Errno, Pool, api::Handle, check};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, c_char, c_int},
    ptr, slice,
    sync::Arc,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

pub type Done = (c_int, Box<Flight>);

#[derive(Debug)]
pub enum Operation {
    Write(Handle),
    Read(Handle),
}

#[derive(Debug)]
pub struct Outputs {
    /// librados writes into the capacity.
    pub data: Vec<u8>,
    pub data_len: usize,
    pub attributes: Handle,
    pub keys: Handle,
    pub more: u8,
    pub codes: [c_int; 3],
}

impl Default for Outputs {
    fn default() -> Self {
        Self {
            data: Vec::new(),
            data_len: 0,
            attributes: ptr::null_mut(),
            keys: ptr::null_mut(),
            more: 0,
            codes: [0; 3],
        }
    }
}

/// An operation that librados has.
#[derive(Debug)]
pub struct Flight {
    pool: Arc<Pool>,
    pub op: Operation,
    pub completion: Handle,
    pub out: Outputs,
    answer: Option<oneshot::Sender<Done>>,
    _room: OwnedSemaphorePermit,
}

// SAFETY: its handles belong to it alone once the operation has completed, and none of them is
// bound to a thread.
unsafe impl Send for Flight {}
// SAFETY: a shared reference to it gives access to nothing but formatting.
unsafe impl Sync for Flight {}

/// Called by a thread of librados once an operation is done, exactly once.
pub extern "C" fn completed(completion: Handle, flight: Handle) {
    // SAFETY: `flight` is what `launch` made of a box, and is taken back once.
    let mut flight = unsafe { Box::from_raw(flight.cast::<Flight>()) };
    // SAFETY: the completion is alive: the flight releases it when it is dropped.
    let code = unsafe { (flight.pool.api.rados_aio_get_return_value)(completion) };
    let pool = flight.pool.clone();
    if let Some(answer) = flight.answer.take() {
        // If nobody waits any more, the flight ends here.
        drop(answer.send((code, flight)));
    }
    // Who has the pool last closes it, which waits for this thread: better to leave it open.
    if let Some(pool) = Arc::into_inner(pool) {
        log::warn!("a connection to Ceph stays open");
        std::mem::forget(pool);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let api = self.pool.api;
        // SAFETY: each handle was made for this flight, and is released once; null ones were not
        // made. The operation has completed, or was never submitted.
        unsafe {
            if !self.out.attributes.is_null() {
                (api.rados_getxattrs_end)(self.out.attributes);
            }
            if !self.out.keys.is_null() {
                (api.rados_omap_get_end)(self.out.keys);
            }
            match self.op {
                Operation::Write(op) => (api.rados_release_write_op)(op),
                Operation::Read(op) => (api.rados_release_read_op)(op),
            }
            if !self.completion.is_null() {
                (api.rados_aio_release)(self.completion);
            }
        }
    }
}

impl Flight {
    pub fn new(
        pool: Arc<Pool>,
        op: Operation,
        answer: oneshot::Sender<Done>,
        room: OwnedSemaphorePermit,
    ) -> Self {
        let out = Outputs::default();
        Self { pool, op, completion: ptr::null_mut(), out, answer: Some(answer), _room: room }
    }

    /// What a read that has completed with success brought.
    pub fn answer(&mut self) -> Result<Answer, Errno> {
        self.out.codes.into_iter().try_for_each(check)?;
        let mut data = std::mem::take(&mut self.out.data);
        let len = self.out.data_len.min(data.capacity());
        // SAFETY: librados has written so many bytes of the capacity.
        unsafe { data.set_len(len) };
        Ok(Answer {
            data: data.into(),
            attributes: self.attributes()?,
            keys: self.keys()?,
            more: self.out.more != 0,
        })
    }

    fn attributes(&self) -> Result<BTreeMap<CString, Bytes>, Errno> {
        let mut attributes = BTreeMap::new();
        if self.out.attributes.is_null() {
            return Ok(attributes);
        }
        loop {
            let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the iterator is open; name and value are valid until it is closed.
            unsafe {
                check((self.pool.api.rados_getxattrs_next)(
                    self.out.attributes,
                    &raw mut name,
                    &raw mut value,
                    &raw mut len,
                ))?;
                if name.is_null() {
                    return Ok(attributes);
                }
                let value = Bytes::copy_from_slice(bytes_at(value, len));
                attributes.insert(CStr::from_ptr(name).to_owned(), value);
            }
        }
    }

    fn keys(&self) -> Result<Vec<(Bytes, Bytes)>, Errno> {
        let mut keys = Vec::new();
        if self.out.keys.is_null() {
            return Ok(keys);
        }
        loop {
            let (mut key, mut value) = (ptr::null_mut(), ptr::null_mut());
            let (mut key_len, mut value_len) = (0, 0);
            // SAFETY: the iterator is open; key and value are valid until it is closed.
            unsafe {
                check((self.pool.api.rados_omap_get_next2)(
                    self.out.keys,
                    &raw mut key,
                    &raw mut value,
                    &raw mut key_len,
                    &raw mut value_len,
                ))?;
                if key.is_null() {
                    return Ok(keys);
                }
                let value = Bytes::copy_from_slice(bytes_at(value, value_len));
                keys.push((Bytes::copy_from_slice(bytes_at(key, key_len)), value));
            }
        }
    }
}

/// # Safety
/// `start` is null, or points to `len` bytes that live as long as the slice is used.
pub unsafe fn bytes_at<'a>(start: *const c_char, len: usize) -> &'a [u8] {
    if start.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: as the caller promises.
    unsafe { slice::from_raw_parts(start.cast(), len) }
}
