//! The functions of librados that are used, found when a cluster is first opened: a build needs
//! nothing of Ceph.

use super::OpenFault;
use libloading::Library;
use std::error::Error as _;
use std::{
    ffi::{c_char, c_int, c_void},
    sync::OnceLock,
};

const LIBRARY: &str = "librados.so.2";

pub type Handle = *mut c_void;
pub type Callback = extern "C" fn(Handle, Handle);

macro_rules! api {
    ($($name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions of the library that are used.
        pub struct Api {
            $(pub $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Api {
            fn load(name: &str) -> Result<Self, libloading::Error> {
                // SAFETY: the library's initializers are those of C++ objects and expect nothing.
                let library = unsafe { Library::new(name) }?;
                let api = Self {$(
                    // SAFETY: the type is that of librados.h, whose functions never change theirs:
                    // a newer form of one has a name of its own.
                    $name: *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) }?,
                )*};
                // Its threads may run until the process ends.
                std::mem::forget(library);
                Ok(api)
            }
        }
    };
}

api! {
    rados_create2(*mut Handle, *const c_char, *const c_char, u64) -> c_int;
    rados_conf_read_file(Handle, *const c_char) -> c_int;
    rados_conf_set(Handle, *const c_char, *const c_char) -> c_int;
    rados_connect(Handle) -> c_int;
    rados_shutdown(Handle);
    rados_mon_command(Handle, *const *const c_char, usize, *const c_char, usize,
        *mut *mut c_char, *mut usize, *mut *mut c_char, *mut usize) -> c_int;
    rados_buffer_free(*mut c_char);
    rados_ioctx_create(Handle, *const c_char, *mut Handle) -> c_int;
    rados_ioctx_set_namespace(Handle, *const c_char);
    rados_ioctx_destroy(Handle);
    rados_nobjects_list_open(Handle, *mut Handle) -> c_int;
    rados_nobjects_list_next2(Handle, *mut *const c_char, *mut *const c_char, *mut *const c_char,
        *mut usize, *mut usize, *mut usize) -> c_int;
    rados_nobjects_list_close(Handle);
    rados_aio_create_completion2(Handle, Callback, *mut Handle) -> c_int;
    rados_aio_get_return_value(Handle) -> c_int;
    rados_aio_release(Handle);
    rados_create_write_op() -> Handle;
    rados_release_write_op(Handle);
    rados_write_op_assert_exists(Handle);
    rados_write_op_create(Handle, c_int, *const c_char);
    rados_write_op_cmpxattr(Handle, *const c_char, u8, *const c_char, usize);
    rados_write_op_setxattr(Handle, *const c_char, *const c_char, usize);
    rados_write_op_write(Handle, *const c_char, usize, u64);
    rados_write_op_write_full(Handle, *const c_char, usize);
    rados_write_op_remove(Handle);
    rados_write_op_omap_set2(Handle, *const *const c_char, *const *const c_char, *const usize,
        *const usize, usize);
    rados_write_op_omap_rm_keys2(Handle, *const *const c_char, *const usize, usize);
    rados_aio_write_op_operate(Handle, Handle, Handle, *const c_char, *mut i64, c_int) -> c_int;
    rados_create_read_op() -> Handle;
    rados_release_read_op(Handle);
    rados_read_op_set_flags(Handle, c_int);
    rados_read_op_read(Handle, u64, usize, *mut c_char, *mut usize, *mut c_int);
    rados_read_op_getxattrs(Handle, *mut Handle, *mut c_int);
    rados_getxattrs_next(Handle, *mut *const c_char, *mut *const c_char, *mut usize) -> c_int;
    rados_getxattrs_end(Handle);
    rados_read_op_omap_get_vals2(Handle, *const c_char, *const c_char, u64, *mut Handle, *mut u8,
        *mut c_int);
    rados_read_op_omap_get_keys2(Handle, *const c_char, u64, *mut Handle, *mut u8, *mut c_int);
    rados_read_op_omap_get_vals_by_keys2(Handle, *const *const c_char, usize, *const usize,
        *mut Handle, *mut c_int);
    rados_omap_get_next2(Handle, *mut *mut c_char, *mut *mut c_char, *mut usize, *mut usize)
        -> c_int;
    rados_omap_get_end(Handle);
    rados_aio_read_op_operate(Handle, Handle, Handle, *const c_char, c_int) -> c_int;
}

static API: OnceLock<Api> = OnceLock::new();

/// The library, loaded once.
pub fn api() -> Result<&'static Api, OpenFault> {
    if let Some(api) = API.get() {
        return Ok(api);
    }
    let api = Api::load(LIBRARY).map_err(missing)?;
    Ok(API.get_or_init(|| api))
}

fn missing(error: libloading::Error) -> OpenFault {
    // The system's words, which name the file, stand in the cause.
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    OpenFault::Library(format!("{error}{cause}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_library_its_package_is_named() {
        let error = Api::load("librados.so.none").err().map(missing).expect("no such library");
        let told = error.to_string();
        assert!(told.contains("librados.so.none") && told.contains("librados2"), "{told}");
    }
}
