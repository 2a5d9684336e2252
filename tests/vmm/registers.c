/* Changes an AVX register of another process, as User Mode Linux does, and tries what may be odd. */
#define _GNU_SOURCE
#include <elf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define YMM0_UPPER 576

static unsigned char registers[1 << 16];
static unsigned char upper[16] = "changed by trace";

static int traced(void)
{
    unsigned char seen[32];

    ptrace(PTRACE_TRACEME, 0, 0, 0);
    /* No function between the stop and the copy: it may use the register. */
    __asm__ volatile("vxorps %%ymm0, %%ymm0, %%ymm0\n"
                     "syscall\n"
                     "vmovups %%ymm0, %0\n"
                     : "=m"(seen)
                     : "a"(62L), "D"((long)getpid()), "S"((long)SIGSTOP)
                     : "rcx", "r11", "xmm0", "memory");
    return memcmp(seen + 16, upper, 16) != 0;
}

int main(void)
{
    struct iovec part = {registers, sizeof registers};
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(traced());
    waitpid(pid, &status, 0);
    if (ptrace(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &part) < 0)
        perror("get");
    printf("size %zu\n", part.iov_len);
    /* Its state is initial, so the processor says that this register has none. */
    registers[512] |= 4;
    memcpy(registers + YMM0_UPPER, upper, 16);
    if (ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &part) < 0)
        perror("set");
    printf("word %d\n", ptrace(PTRACE_PEEKDATA, pid, upper, 0) == *(long *)upper);
    ptrace(PTRACE_CONT, pid, 0, 0);
    waitpid(pid, &status, 0);
    printf("kept %d\n", WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
}
