//! The probe on x86-64, in a child process: whatever KVM does to it, we live.
#![allow(unsafe_code, reason = "a child process, and memory that a guest runs in")]

use anyhow::{Result, bail};
use kvm_bindings::{
    CpuId, KVM_MAX_CPUID_ENTRIES, Msrs, kvm_msr_entry, kvm_segment, kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid},
};

/// How long the guest may take, milliseconds; it needs fifteen.
const LIMIT_MS: i64 = 500;
/// The guest's memory, bytes.
const MEMORY: usize = 64 << 10;
/// Where its page tables are: three pages, of which the last maps the first 2 MiB as they are.
const TABLES: usize = 0x1000;
/// Where its segment descriptors are.
const SEGMENTS: usize = 0x4000;
/// Where its interrupt descriptors are.
const INTERRUPTS: usize = 0x5000;
/// Where its stack begins, downwards.
const STACK: usize = 0x7000;
/// Where its code is.
const CODE: usize = 0x8000;

/// IA32_ARCH_CAPABILITIES: QEMU hands each guest the host's.
const ARCH_CAPABILITIES: u32 = 0x10a;

// What real kernels do and half-made hypervisors don't: page tables reloaded, an exception and
// its return, registers swapped, user mode and a system call back; then the letters, and the end.
std::arch::global_asm!(
    ".global fogbank_probe_start, fogbank_probe_invalid, fogbank_probe_end",
    "fogbank_probe_start:",
    "mov rax, cr3",
    "mov cr3, rax",
    "xor eax, eax",
    "cpuid",
    "ud2",
    "mov ecx, 0xc0000101", // GS base
    "mov eax, 0x1234000",
    "xor edx, edx",
    "wrmsr",
    "mov ecx, 0xc0000102", // kernel GS base
    "mov eax, 0x5678000",
    "wrmsr",
    "swapgs",
    "mov ecx, 0xc0000101",
    "rdmsr",
    "cmp eax, 0x5678000",
    "jne 3f",
    "mov ecx, 0xc0000080", // EFER: system calls on
    "rdmsr",
    "or eax, 1",
    "wrmsr",
    "mov ecx, 0xc0000081", // STAR: segments of system calls and their return
    "xor eax, eax",
    "mov edx, 0x00180008",
    "wrmsr",
    "mov ecx, 0xc0000084", // SFMASK
    "xor edx, edx",
    "wrmsr",
    "mov ecx, 0xc0000082", // LSTAR: entry of system calls
    "lea rax, [rip + 2f]",
    "xor edx, edx",
    "wrmsr",
    "lea rcx, [rip + 1f]",
    "mov r11d, 2",
    "sysretq",
    "1:", // user mode
    "syscall",
    "2:", // kernel mode again
    "mov al, 'O'",
    "out 0x80, al",
    "mov al, 'K'",
    "out 0x80, al",
    "3:",
    "hlt",
    "fogbank_probe_invalid:", // the handler of ud2 steps over it
    "add qword ptr [rsp], 2",
    "iretq",
    "fogbank_probe_end:",
);

unsafe extern "C" {
    static fogbank_probe_start: u8;
    static fogbank_probe_invalid: u8;
    static fogbank_probe_end: u8;
}

/// The guest's program, and where in it invalid instructions are handled.
fn program() -> (&'static [u8], usize) {
    // SAFETY: the labels delimit one piece of code, in this order.
    unsafe {
        let start = &raw const fogbank_probe_start;
        let length = (&raw const fogbank_probe_end).addr() - start.addr();
        let invalid = (&raw const fogbank_probe_invalid).addr() - start.addr();
        (std::slice::from_raw_parts(start, length), invalid)
    }
}

/// How far the guest came: the child's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Outcome {
    Works,
    Closed,
    Absent,
    NoVm,
    NoState,
    NoRegister,
    NoOutput,
    NoHalt,
}

const OUTCOMES: [(Outcome, &str); 8] = [
    (Outcome::Works, "KVM works"),
    (Outcome::Closed, "/dev/kvm may not be opened by this user (add it to the group kvm)"),
    (
        Outcome::Absent,
        "there is no /dev/kvm: virtualization is off in the firmware, or this is a VM without nested virtualization",
    ),
    (Outcome::NoVm, "/dev/kvm opens but makes no virtual machine"),
    (Outcome::NoState, "/dev/kvm opens but takes no 64-bit processor state"),
    (
        Outcome::NoRegister,
        "/dev/kvm opens but refuses the processor's own registers, without which QEMU does not start",
    ),
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
    if !takes_capabilities(&kvm, &vcpu) {
        return Outcome::NoRegister;
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

/// Memory with page tables, descriptors and the program in it.
fn guest_memory() -> Option<*mut u8> {
    let mut image = vec![0_u8; MEMORY];
    let (present_writable_user, large) = (0x7_u64, 0x80_u64);
    let (program, invalid) = program();
    let handler = (CODE + invalid) as u64;
    let words = [
        (TABLES, (TABLES + 0x1000) as u64 | present_writable_user),
        (TABLES + 0x1000, (TABLES + 0x2000) as u64 | present_writable_user),
        (TABLES + 0x2000, present_writable_user | large),
        (SEGMENTS + 0x08, 0x00af_9b00_0000_ffff), // kernel code
        (SEGMENTS + 0x10, 0x00cf_9300_0000_ffff), // kernel data
        (SEGMENTS + 0x20, 0x00cf_f300_0000_ffff), // user data
        (SEGMENTS + 0x28, 0x00af_fb00_0000_ffff), // user code
        // An interrupt gate for exception 6 to the handler, which is below 64 KiB.
        (INTERRUPTS + 6 * 16, 0x0000_8e00_0008_0000 | handler),
    ];
    for (at, word) in words {
        image.get_mut(at..at + 8)?.copy_from_slice(&word.to_le_bytes());
    }
    image.get_mut(CODE..CODE + program.len())?.copy_from_slice(program);
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

/// Whether the processor takes the host's own capabilities; QEMU dies if it doesn't.
fn takes_capabilities(kvm: &Kvm, vcpu: &VcpuFd) -> bool {
    let entry = kvm_msr_entry { index: ARCH_CAPABILITIES, ..kvm_msr_entry::default() };
    let Ok(mut registers) = Msrs::from_entries(&[entry]) else {
        return false;
    };
    // A kernel that does not name the register has none to hand on.
    kvm.get_msrs(&mut registers).ok() != Some(1) || vcpu.set_msrs(&registers).ok() == Some(1)
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
    system.gdt.base = SEGMENTS as u64;
    system.gdt.limit = 0x2f;
    system.idt.base = INTERRUPTS as u64;
    system.idt.limit = 0xfff;
    system.cr3 = TABLES as u64;
    system.cr4 = 1 << 5; // physical address extension
    system.cr0 = (1 << 31) | (1 << 16) | (1 << 4) | 1; // paging, write protect, protected mode
    system.efer = (1 << 10) | (1 << 8); // long mode, active
    vcpu.set_sregs(&system).ok()?;
    let mut registers = vcpu.get_regs().ok()?;
    registers.rip = CODE as u64;
    registers.rsp = STACK as u64;
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
