//! The probe on x86-64, in a child process: whatever KVM does to it, we live.
#![allow(unsafe_code, reason = "a child process, and memory that a guest runs in")]

use anyhow::{Result, bail};
use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, kvm_segment, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid},
};

/// How long the guest may take, milliseconds; it needs five.
const LIMIT_MS: i64 = 500;
/// The guest's memory, bytes.
const MEMORY: usize = 64 << 10;
/// Where its page tables are: three pages, of which the last maps the first 2 MiB as they are.
const TABLES: usize = 0x1000;
/// Where its code is.
const CODE: usize = 0x8000;

/// What the guest does: reloads its page tables, identifies the processor, writes `O` and `K` to
/// port 0x80, and halts.
const PROGRAM: [u8; 22] = [
    0x0f, 0x20, 0xd8, // mov rax, cr3
    0x0f, 0x22, 0xd8, // mov cr3, rax
    0x31, 0xc0, // xor eax, eax
    0x0f, 0xa2, // cpuid
    0xb0, b'O', // mov al, 'O'
    0xe6, 0x80, // out 0x80, al
    0x48, 0x31, 0xc9, // xor rcx, rcx: only in long mode
    0xb0, b'K', // mov al, 'K'
    0xe6, 0x80, // out 0x80, al
    0xf4, // hlt
];

/// How far the guest came: the child's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Outcome {
    Works,
    Closed,
    Absent,
    NoVm,
    NoState,
    NoOutput,
    NoHalt,
}

const OUTCOMES: [(Outcome, &str); 7] = [
    (Outcome::Works, "KVM works"),
    (Outcome::Closed, "/dev/kvm may not be opened by this user (add it to the group kvm)"),
    (
        Outcome::Absent,
        "there is no /dev/kvm: virtualization is off in the firmware, or this is a VM without nested virtualization",
    ),
    (Outcome::NoVm, "/dev/kvm opens but makes no virtual machine"),
    (Outcome::NoState, "/dev/kvm opens but takes no 64-bit processor state"),
    (Outcome::NoOutput, "/dev/kvm opens but runs no 64-bit guest"),
    (
        Outcome::NoHalt,
        "/dev/kvm opens and runs guest code, but a guest that halts is lost: no use for real systems",
    ),
];

pub fn probe() -> Result<()> {
    // SAFETY: the child calls nothing that needs another thread of ours, and ends by _exit.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let outcome = run();
        // SAFETY: ends the child without running our exit handlers.
        unsafe { libc::_exit(outcome as libc::c_int) };
    }
    let Some(pid) = Pid::from_raw(pid).filter(|pid| pid.as_raw_nonzero().get() > 0) else {
        bail!("no process for the KVM probe");
    };
    let child = pidfd_open(pid, PidfdFlags::empty())?;
    let limit = Timespec { tv_sec: 0, tv_nsec: LIMIT_MS * 1_000_000 };
    if poll(&mut [PollFd::new(&child, PollFlags::IN)], Some(&limit))? == 0 {
        pidfd_send_signal(&child, Signal::KILL)?;
        waitpid(Some(pid), WaitOptions::empty())?;
        bail!("/dev/kvm opens but a tiny guest did not finish within {LIMIT_MS} ms");
    }
    let status =
        waitpid(Some(pid), WaitOptions::empty())?.and_then(|(_, status)| status.exit_status());
    match OUTCOMES.iter().find(|(outcome, _)| Some(*outcome as i32) == status) {
        Some((Outcome::Works, _)) => Ok(()),
        Some((_, words)) => bail!("{words}"),
        None => bail!("/dev/kvm opens but the probe of it crashed"),
    }
}

fn run() -> Outcome {
    let kvm = match Kvm::new() {
        Ok(kvm) => kvm,
        Err(error) if error.errno() == libc::EACCES => return Outcome::Closed,
        Err(_) => return Outcome::Absent,
    };
    let Ok(vm) = kvm.create_vm() else {
        return Outcome::NoVm;
    };
    let Some(memory) = guest_memory() else {
        return Outcome::NoVm;
    };
    let region = kvm_userspace_memory_region {
        slot: 0,
        flags: 0,
        guest_phys_addr: 0,
        memory_size: MEMORY as u64,
        userspace_addr: memory as u64,
    };
    // SAFETY: the memory is mapped until this process ends.
    if unsafe { vm.set_user_memory_region(region) }.is_err() {
        return Outcome::NoVm;
    }
    let Ok(mut vcpu) = vm.create_vcpu(0) else {
        return Outcome::NoVm;
    };
    let Ok(cpuid) = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES) else {
        return Outcome::NoState;
    };
    if set_state(&vcpu, &cpuid).is_none() {
        return Outcome::NoState;
    }
    let mut said = Vec::new();
    loop {
        match vcpu.run() {
            Ok(VcpuExit::IoOut(0x80, bytes)) if said.len() < 2 => said.extend_from_slice(bytes),
            Ok(VcpuExit::Hlt) if said == b"OK" => return Outcome::Works,
            Ok(_) | Err(_) if said == b"OK" => return Outcome::NoHalt,
            Ok(_) | Err(_) => return Outcome::NoOutput,
        }
    }
}

/// Memory with page tables and the program in it.
fn guest_memory() -> Option<*mut u8> {
    let mut image = vec![0_u8; MEMORY];
    let present_writable = 0x3_u64;
    let large = 0x80_u64;
    let entries = [
        (TABLES, (TABLES + 0x1000) as u64 | present_writable),
        (TABLES + 0x1000, (TABLES + 0x2000) as u64 | present_writable),
        (TABLES + 0x2000, present_writable | large),
    ];
    for (at, entry) in entries {
        image.get_mut(at..at + 8)?.copy_from_slice(&entry.to_le_bytes());
    }
    image.get_mut(CODE..CODE + PROGRAM.len())?.copy_from_slice(&PROGRAM);
    // SAFETY: fresh anonymous memory, written within its length.
    unsafe {
        let memory = libc::mmap(
            std::ptr::null_mut(),
            MEMORY,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if memory == libc::MAP_FAILED {
            return None;
        }
        let memory = memory.cast::<u8>();
        std::ptr::copy_nonoverlapping(image.as_ptr(), memory, MEMORY);
        Some(memory)
    }
}

/// Puts the processor into long mode at the program.
fn set_state(vcpu: &VcpuFd, cpuid: &CpuId) -> Option<()> {
    vcpu.set_cpuid2(cpuid).ok()?;
    let mut system = vcpu.get_sregs().ok()?;
    let flat = kvm_segment {
        base: 0,
        limit: 0xffff_ffff,
        selector: 0x10,
        type_: 3,
        present: 1,
        s: 1,
        g: 1,
        db: 1,
        ..kvm_segment::default()
    };
    system.cs = kvm_segment { selector: 0x8, type_: 11, l: 1, db: 0, ..flat };
    for segment in [&mut system.ds, &mut system.es, &mut system.ss, &mut system.fs, &mut system.gs]
    {
        *segment = flat;
    }
    system.cr3 = TABLES as u64;
    system.cr4 = 1 << 5; // physical address extension
    system.cr0 = (1 << 31) | (1 << 16) | (1 << 4) | 1; // paging, write protect, protected mode
    system.efer = (1 << 10) | (1 << 8); // long mode, active
    vcpu.set_sregs(&system).ok()?;
    let mut registers = vcpu.get_regs().ok()?;
    registers.rip = CODE as u64;
    registers.rflags = 2;
    vcpu.set_regs(&registers).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_ends_with_an_answer() {
        // Whether KVM works depends on the machine; that there is an answer does not.
        let started = std::time::Instant::now();
        let answer = super::probe();
        assert!(started.elapsed().as_millis() < 2000);
        if let Err(error) = answer {
            assert!(error.to_string().contains("kvm"), "{error}");
        }
    }
}
