/* Preloaded into User Mode Linux: hides the registers of AMX from its ptrace(2).
 *
 * The kernel keeps up to 8 KiB of a process's extended registers. With AMX they have 11 KiB, and
 * ptrace(2) sets all of them or none, so that every guest would end with its first process. Programs
 * in guests cannot use AMX anyway: they have to ask their kernel for it, and this kernel knows no
 * such request. Without it the registers also fit into signal stacks of the usual size. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define XSAVE_LEAF 0xd
#define TILE_CONFIGURATION 17
#define TILES (UINT64_C(3) << TILE_CONFIGURATION)
/* Where the kernel and the processor say which registers a copy has. */
#define KERNELS_MASK 464
#define PROCESSORS_MASK 512

static long (*next)(int, ...);
/* Where the registers of AMX begin; 0 is a processor without them. */
static size_t shown;
static size_t complete;
/* The kernel's stacks are too small for it, and one thread of it uses ptrace(2). */
static unsigned char registers[1 << 16];

__attribute__((constructor)) static void prepare(void)
{
    unsigned low, offset, unused;

    next = dlsym(RTLD_NEXT, "ptrace");
    if (__get_cpuid_count(XSAVE_LEAF, 0, &low, &unused, &unused, &unused) && (low & TILES) &&
        __get_cpuid_count(XSAVE_LEAF, TILE_CONFIGURATION, &unused, &offset, &unused, &unused))
        shown = offset;
}

static void hide_tiles(size_t position)
{
    uint64_t mask;

    memcpy(&mask, registers + position, sizeof mask);
    mask &= ~TILES;
    memcpy(registers + position, &mask, sizeof mask);
}

static long get(pid_t pid, struct iovec *wanted)
{
    struct iovec all = {registers, sizeof registers};
    long result = next(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &all);

    if (result < 0)
        return result;
    complete = all.iov_len;
    hide_tiles(KERNELS_MASK);
    hide_tiles(PROCESSORS_MASK);
    if (wanted->iov_len > all.iov_len)
        wanted->iov_len = all.iov_len;
    if (wanted->iov_len > shown)
        wanted->iov_len = shown;
    memcpy(wanted->iov_base, registers, wanted->iov_len);
    return result;
}

static long set(pid_t pid, const struct iovec *given)
{
    struct iovec all = {registers, complete};

    memset(registers, 0, complete);
    memcpy(registers, given->iov_base, given->iov_len);
    hide_tiles(PROCESSORS_MASK);
    return next(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);

    if (shown && address == (void *)NT_X86_XSTATE) {
        if (request == PTRACE_GETREGSET)
            return get(pid, data);
        if (request == PTRACE_SETREGSET && ((struct iovec *)data)->iov_len < complete)
            return set(pid, data);
    }
    return next(request, pid, address, data);
}
