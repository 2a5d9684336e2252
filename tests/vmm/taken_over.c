/* Runs in a VMM's place and says, line by line, what it can see and reach.
 *
 * "may WHAT" is something that succeeded, "file MODE PATH" a file that it can open, "fd N KIND
 * ACCESS" a descriptor that it was given. What fails is not mentioned. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

extern char **environ;

static void may(int worked, const char *what) {
    if (worked) printf("may %s\n", what);
}

static int see(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)walk;
    /* Entries of processes in /proc belong to the jail. */
    if (!strncmp(path, "/proc/", 6) && path[6] >= '0' && path[6] <= '9') return FTW_SKIP_SUBTREE;
    if (type == FTW_SL) return FTW_CONTINUE;
    if (S_ISDIR(status->st_mode)) {
        char made[5000];
        snprintf(made, sizeof made, "%s/made", path);
        int descriptor = open(made, O_CREAT | O_RDWR, 0600);
        if (descriptor >= 0) printf("file create %s\n", path), close(descriptor), unlink(made);
        return FTW_CONTINUE;
    }
    const char *kind = S_ISREG(status->st_mode) ? "" : "special ";
    int descriptor = open(path, O_RDONLY | O_NONBLOCK);
    if (descriptor >= 0) printf("file %sread %s\n", kind, path), close(descriptor);
    descriptor = open(path, O_WRONLY | O_NONBLOCK);
    if (descriptor >= 0) printf("file %swrite %s\n", kind, path), close(descriptor);
    return FTW_CONTINUE;
}

/* Options of a socket: memory of the host beyond the cgroup's limit, programs in the host's kernel,
 * other headers, other interfaces, other directions. */
static void options(int descriptor) {
    struct tpacket_req ring = {4096 * 1024, 16, 2048, 16 * 2048};
    struct sock_filter all = {0x06, 0, 0, 0xffffffff};
    struct sock_fprog program = {1, &all};
    int one = 1, large = 1 << 26;
    const struct { int level, option; const void *value; unsigned size; } each[] = {
        {SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring},
        {SOL_PACKET, PACKET_TX_RING, &ring, sizeof ring},
        {SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one},
        {SOL_PACKET, PACKET_VERSION, &one, sizeof one},
        {SOL_PACKET, PACKET_FANOUT, &one, sizeof one},
        {SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one},
        {SOL_PACKET, PACKET_COPY_THRESH, &large, sizeof large},
        {SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program},
        {SOL_SOCKET, SO_ATTACH_BPF, &one, sizeof one},
        {SOL_SOCKET, SO_DETACH_FILTER, &one, sizeof one},
        {SOL_SOCKET, SO_LOCK_FILTER, &one, sizeof one},
        {SOL_SOCKET, SO_RCVBUF, &large, sizeof large},
        {SOL_SOCKET, SO_SNDBUF, &large, sizeof large},
        {SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large},
        {SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof large},
        {SOL_SOCKET, SO_BUSY_POLL, &one, sizeof one},
        {SOL_SOCKET, SO_ZEROCOPY, &one, sizeof one},
        {SOL_SOCKET, SO_TIMESTAMPING, &one, sizeof one},
        {SOL_SOCKET, SO_PRIORITY, &one, sizeof one}};
    for (unsigned number = 0; number < sizeof each / sizeof *each; number++) {
        int answer = setsockopt(descriptor, each[number].level, each[number].option,
                                each[number].value, each[number].size);
        if (answer >= 0 || errno != ENOSYS)
            printf("may set option %d %d\n", each[number].level, each[number].option);
    }
}

static void descriptors(void) {
    for (int each = 0; each < 1024; each++) {
        struct stat status;
        if (fstat(each, &status)) continue;
        const char *kind = S_ISREG(status.st_mode) ? "disk" : S_ISCHR(status.st_mode) ? "device"
                         : S_ISFIFO(status.st_mode) ? "pipe" : S_ISSOCK(status.st_mode) ? "socket"
                         : "other";
        const char *access[] = {"read", "write", "both", "path"};
        printf("fd %d %s %s\n", each, kind, access[fcntl(each, F_GETFL) & O_ACCMODE]);
        char again[64];
        snprintf(again, sizeof again, "/proc/self/fd/%d", each);
        int more = open(again, O_RDWR | O_NONBLOCK);
        if (more >= 0 && (fcntl(each, F_GETFL) & O_ACCMODE) == O_RDONLY && S_ISREG(status.st_mode))
            printf("reopened %s\n", status.st_uid == getuid() ? "own" : "root");
        if (more >= 0) close(more);
        /* Everything that could change the link, or leave it. */
        static const unsigned long changes[] = {
            0x400454ca, 0x400454cb, 0x400454cc, 0x400454c9, 0x400454cd, 0x400454ce, 0x400454d1,
            0x400454d4, 0x400454d5, 0x400454d6, 0x400454d8, 0x400454d9, 0x800454e0, 0x800454e1,
            0x400454e2, 0x54e3, 0x8924, 0x8914, 0x8916, 0x8922, 0x894c, 0x5412, 0x8912, 0x8910};
        for (unsigned number = 0; number < sizeof changes / sizeof *changes; number++) {
            char argument[256] = {0};
            int answer = ioctl(each, changes[number], argument);
            if (answer >= 0 || errno != ENOSYS) printf("may ioctl %d %lx\n", each, changes[number]);
        }
        if (S_ISSOCK(status.st_mode)) options(each);
        int interfaces = 0;
        for (int index = 1; index < 4096; index++) {
            struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = index, .sll_halen = 6};
            char frame[60] = {0};
            if (S_ISSOCK(status.st_mode)
                && sendto(each, frame, sizeof frame, MSG_DONTWAIT, (void *)&to, sizeof to) >= 0)
                interfaces++;
        }
        if (interfaces) printf("interfaces %d\n", interfaces);
    }
}

static void sockets(void) {
    for (int family = 1; family < 46; family++)
        for (int type = 1; type < 6; type++) {
            int made = socket(family, type, 0);
            if (made >= 0 && family != AF_UNIX) printf("may socket %d %d\n", family, type);
            if (made >= 0) close(made);
        }
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    memcpy(name.sun_path + 1, "monopod-test-taken-over", 23);
    int made = socket(AF_UNIX, SOCK_STREAM, 0);
    options(made);
    may(!connect(made, (void *)&name, offsetof(struct sockaddr_un, sun_path) + 24), "abstract");
}

static void processes(void) {
    for (pid_t each = 1; each < 70000; each++)
        if (each != getpid() && (kill(each, 0) == 0 || errno == EPERM)) printf("process %d\n", each);
}

static void privileges(void) {
    may(!setuid(0) || !setgid(0) || !syscall(SYS_setgroups, 0, NULL), "become another user");
    may(!unshare(CLONE_NEWUSER), "unshare");
    int flags[] = {CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER | CLONE_NEWNET};
    for (unsigned number = 0; number < sizeof flags / sizeof *flags; number++) {
        long child = syscall(SYS_clone, flags[number] | SIGCHLD, 0, 0, 0, 0);
        if (child == 0) _exit(0);
        may(child > 0, "make a namespace");
    }
    may(!mount("none", "/dev/shm", "tmpfs", 0, ""), "mount");
    may(!syscall(SYS_chroot, "/"), "chroot");
    may(!mknod("/dev/shm/kvm", S_IFCHR | 0600, (10 << 8) | 232), "mknod");
    int calls[] = {SYS_bpf, SYS_perf_event_open, SYS_io_uring_setup, SYS_keyctl, SYS_add_key,
                   SYS_userfaultfd, SYS_setns, SYS_process_vm_readv, SYS_open_by_handle_at,
                   SYS_pidfd_open, SYS_pidfd_getfd, SYS_personality, SYS_kexec_load,
                   SYS_init_module, SYS_syslog, SYS_quotactl, SYS_reboot, SYS_sethostname,
                   SYS_shmget, SYS_msgget, SYS_semget, SYS_mq_open, SYS_fanotify_init};
    for (unsigned number = 0; number < sizeof calls / sizeof *calls; number++) {
        errno = 0;
        if (syscall(calls[number], 1L, 0L, 0L, 0L, 0L, 0L) >= 0 || errno != ENOSYS)
            printf("may call %d\n", calls[number]);
    }
    printf("dumpable %d new-privileges %d\n", prctl(PR_GET_DUMPABLE), !prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    for (int capability = 0; capability < 64; capability++)
        may(prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1, "have a capability");
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct utsname name;
    uname(&name);
    printf("host %s\n", name.nodename);
    for (char **each = environ; *each; each++) printf("environment %s\n", *each);
    descriptors();
    sockets();
    processes();
    privileges();
    nftw("/", see, 64, FTW_PHYS | FTW_ACTIONRETVAL);
    puts("that is all");
    pause();
    return 0;
}
