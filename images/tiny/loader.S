# The boot loader of fogbank-tiny. It reads a bzImage from a fixed place on the
# disk by large BIOS reads and starts it: GRUB takes seconds for that, which is most
# of the time from power-on to the kernel on an emulated CPU.
#
#   sector 0        this file's first 440 bytes, then the partition table
#   sectors 1-8     the rest of it; the kernel's command line from sector 5
#   partition 1     the bzImage, from its first byte
#
# as --32 loader.S -o loader.o && ld -m elf_i386 -Ttext 0x7c00 --oformat binary
# build.sh fills in kernel_lba and kernel_sectors (at 0x1a4 = 420).

.code16
.text
.globl _start
.set SETUP, 0x1000          # segment of the kernel's real-mode part
.set BUFFER, 0x2000         # segment of the transfer buffer
.set CHUNK, 120             # sectors a read: whole pages, at most 127
.set CMDLINE_OFFSET, 0xe000 # command line, within SETUP

_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    ljmp $0, $1f
1:  sti
    cld
    movb %dl, drive
    # The rest of the loader: sectors 1-8 to 0x7e00.
    movw $8, packet_count
    movw $0x7e00, packet_offset
    movw $0, packet_segment
    movl $1, packet_lba
    call read
    jmp main

# Reads what the packet says; stops the machine when the disk does not answer.
read:
    movw $3, %bp
1:  movw $packet, %si
    movb drive, %dl
    movb $0x42, %ah
    int $0x13
    jnc 3f
    decw %bp
    jnz 1b
    # The console log is the only place where anyone looks.
    movw $message, %si
2:  lodsb
    testb %al, %al
    jz 4f
    movw $0x3f8, %dx
    outb %al, %dx
    jmp 2b
3:  ret
4:  cli
    hlt
    jmp 4b

message: .asciz "boot: the disk cannot be read\r\n"
drive:  .byte 0
.balign 4
packet: .byte 16, 0
packet_count:   .word 0
packet_offset:  .word 0
packet_segment: .word 0
packet_lba:     .long 0, 0

.org 420
kernel_lba:     .long 0
kernel_sectors: .long 0
.org 440
    .fill 512 - 440, 1, 0

# ---- from sector 1 ----
main:
    movw $0x2401, %ax       # the A20 gate
    int $0x15

    # The head of the file, for the length of its real-mode part.
    movl kernel_lba, %eax
    movl %eax, packet_lba
    movw $CHUNK, packet_count
    movw $0, packet_offset
    movw $SETUP, packet_segment
    call read
    movw $SETUP, %ax
    movw %ax, %es
    movzbl %es:0x1f1, %eax
    testb %al, %al
    jnz 1f
    movb $4, %al
1:  incl %eax

    # The protected-mode part, chunk by chunk, to 1 MiB and up.
    movl kernel_sectors, %ecx
    subl %eax, %ecx
    addl %eax, packet_lba
    movw $BUFFER, packet_segment
    movl $0x100000, %edi
next:
    movl $CHUNK, %eax
    cmpl %eax, %ecx
    jae 1f
    movl %ecx, %eax
1:  movw %ax, packet_count
    pushl %ecx
    pushl %eax
    pushl %edi
    call read
    popl %edi
    popl %eax
    pushl %eax
    # The BIOS leaves with 64 KiB segments: lift the limits for every copy.
    cli
    pushw %ds
    pushw %es
    lgdt gdt_pointer
    movl %cr0, %ebx
    orb $1, %bl
    movl %ebx, %cr0
    movw $8, %dx
    movw %dx, %ds
    movw %dx, %es
    andb $0xfe, %bl
    movl %ebx, %cr0
    xorw %dx, %dx
    movw %dx, %ds
    movw %dx, %es
    movl $(BUFFER << 4), %esi
    movl %eax, %ecx
    shll $7, %ecx
    addr32 rep movsl
    popw %es
    popw %ds
    sti
    popl %eax
    popl %ecx
    addl %eax, packet_lba
    subl %eax, %ecx
    jnz next

    # The command line, and what the boot protocol wants of a loader.
    movw $SETUP, %ax
    movw %ax, %es
    movw $cmdline, %si
    movw $CMDLINE_OFFSET, %di
    movw $(2048 / 4), %cx
    rep movsl
    movb $0xff, %es:0x210                                   # type_of_loader
    orb $0x80, %es:0x211                                    # CAN_USE_HEAP
    movw $(CMDLINE_OFFSET - 0x200), %es:0x224               # heap_end_ptr
    movl $((SETUP << 4) + CMDLINE_OFFSET), %es:0x228        # cmd_line_ptr
    cli
    movw %ax, %ds
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    movl $CMDLINE_OFFSET, %esp
    ljmp $(SETUP + 0x20), $0

.balign 8
gdt:
    .quad 0
    .quad 0x00cf92000000ffff
gdt_pointer:
    .word . - gdt - 1
    .long gdt

.org 5 * 512
cmdline:
    .fill 2048, 1, 0
