/* Enforces memory limits in a machine whose kernel is gVisor, which remembers memory.max and enforces
 * nothing: not a container's, a pod's or all pods' limit, nor the machine's own size.
 *
 * At a limit it kills what Linux would: the container of the process with the highest score (resident
 * memory and oom_score_adj), as a whole, as kubelets set memory.oom.group; outside of containers the
 * process. The containers' end gets reason OOMKilled by the event that containerd's shim publishes
 * under Linux. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GROUPS "/sys/fs/cgroup"
#define PODS "/kubepods"
#define ID_LENGTH 64
#define PATH_LENGTH 1024
/* What a guest may allocate in a millisecond: the interval between two looks follows from it and from
 * what is left below the nearest limit. */
#define KIB_PER_MS 1024L
#define SHORTEST_MS 10
#define LONGEST_MS 250
/* So long others are spared after a kill. */
#define END_MS 2000

static long total_kib;
static int meminfo;

/* A cgroup with a limit. */
struct limited {
    char group[PATH_LENGTH];
    long limit;
    int usage; /* memory.current */
};
static struct limited *limited;
static size_t count_limited, room_limited;
/* Reports what is made, removed or written in cgroups. */
static int changes = -1;

static void pause_ms(long milliseconds) {
    struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&left, &left)) continue;
}

/* Reads a file from its start into a buffer; returns whether it has any content. */
static int read_again(int file, char *buffer, size_t size) {
    ssize_t count = pread(file, buffer, size - 1, 0);
    buffer[count > 0 ? count : 0] = 0;
    return count > 0;
}

static int read_file(const char *path, char *buffer, size_t size) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    int found = read_again(file, buffer, size);
    close(file);
    return found;
}

/* A number of kibibytes after a word in a file such as /proc/meminfo; -1 if there is none. */
static long kib_of(const char *text, const char *word) {
    const char *found = strstr(text, word);
    return found ? strtol(found + strlen(word), NULL, 10) : -1;
}

static long free_kib(void) {
    char text[2048];
    if (!read_again(meminfo, text, sizeof text)) return total_kib;
    total_kib = kib_of(text, "MemTotal:");
    return kib_of(text, "MemFree:");
}

/* The cgroup of a process, without a slash at its end. */
static int group_of(long process, char *group, size_t size) {
    char path[64], text[PATH_LENGTH];
    snprintf(path, sizeof path, "/proc/%ld/cgroup", process);
    if (!read_file(path, text, sizeof text)) return 0;
    char *name = strstr(text, "0::");
    if (!name) return 0;
    name[strcspn(name, "\n")] = 0;
    snprintf(group, size, "%s", name + 3);
    return 1;
}

static int is_below(const char *group, const char *ancestor) {
    size_t length = strlen(ancestor);
    return !strncmp(group, ancestor, length) && (!group[length] || group[length] == '/');
}

/* Cuts a cgroup to that of its container, the part that a container's id ends. Returns the id. */
static const char *cut_to_container(char *group) {
    for (char *part = strchr(group, '/'); part; part = strchr(part + 1, '/')) {
        size_t length = strspn(part + 1, "0123456789abcdef");
        if (length != ID_LENGTH || (part[1 + length] && part[1 + length] != '/')) continue;
        part[1 + length] = 0;
        return part + 1;
    }
    return NULL;
}

/* Signals every process in or below a cgroup; returns how many there were. */
static int signal_group(const char *group, int number) {
    int count = 0;
    DIR *processes = opendir("/proc");
    for (struct dirent *entry; processes && (entry = readdir(processes));) {
        char own[PATH_LENGTH];
        long process = strtol(entry->d_name, NULL, 10);
        if (process <= 0 || !group_of(process, own, sizeof own) || !is_below(own, group)) continue;
        count += !number || !kill(process, number);
    }
    if (processes) closedir(processes);
    return count;
}

/* Publishes the event by which containerd gives a container's end its reason. */
static void publish(const char *id) {
    static const char type[] = "containerd.events.TaskOOM";
    unsigned char event[256];
    size_t length = 0, type_length = sizeof type - 1;
    event[length++] = 1 << 3 | 2;
    event[length++] = type_length;
    memcpy(event + length, type, type_length), length += type_length;
    event[length++] = 2 << 3 | 2;
    event[length++] = ID_LENGTH + 2;
    event[length++] = 1 << 3 | 2;
    event[length++] = ID_LENGTH;
    memcpy(event + length, id, ID_LENGTH), length += ID_LENGTH;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return;
    pid_t child = fork();
    if (!child) {
        dup2(ends[0], 0);
        execlp("containerd", "containerd", "--address", "/run/containerd/containerd.sock", "publish",
               "--namespace", "k8s.io", "--topic", "/tasks/oom", NULL);
        _exit(127);
    }
    close(ends[0]);
    if (write(ends[1], event, length) < 0) perror("oom-killer: publish");
    close(ends[1]);
    waitpid(child, NULL, 0);
}

static void kill_container(const char *group, const char *id, const char *why) {
    printf("oom-killer: container %.12s is killed: %s\n", id, why);
    /* Stopped, it does not grow meanwhile; killed before the event, its end might lack the reason. */
    signal_group(group, SIGSTOP);
    publish(id);
    for (int passed = 0; passed < END_MS; passed += SHORTEST_MS) {
        if (!signal_group(group, SIGKILL)) return;
        pause_ms(SHORTEST_MS);
    }
}

/* Kills the worst process in or below a cgroup, and all of its container. */
static void kill_worst(const char *below, const char *why) {
    char worst_group[PATH_LENGTH] = "", worst_name[64] = "";
    long worst = 0, worst_score = 0;
    DIR *processes = opendir("/proc");
    for (struct dirent *entry; processes && (entry = readdir(processes));) {
        char path[64], text[2048], group[PATH_LENGTH];
        long process = strtol(entry->d_name, NULL, 10);
        if (process <= 1 || process == getpid()) continue;
        if (!group_of(process, group, sizeof group) || !is_below(group, below)) continue;
        snprintf(path, sizeof path, "/proc/%ld/oom_score_adj", process);
        long adjustment = read_file(path, text, sizeof text) ? strtol(text, NULL, 10) : 0;
        snprintf(path, sizeof path, "/proc/%ld/status", process);
        if (adjustment <= -1000 || !read_file(path, text, sizeof text)) continue;
        long score = kib_of(text, "VmRSS:") + adjustment * (total_kib / 1000);
        if (worst && score <= worst_score) continue;
        worst = process, worst_score = score;
        snprintf(worst_group, sizeof worst_group, "%s", group);
        sscanf(text, "Name:%*[\t ]%63[^\n]", worst_name);
    }
    if (processes) closedir(processes);
    if (!worst) return;
    const char *id = cut_to_container(worst_group);
    if (id) {
        kill_container(worst_group, id, why);
        return;
    }
    printf("oom-killer: process %ld (%s) is killed: %s\n", worst, worst_name, why);
    kill(worst, SIGKILL);
    for (int passed = 0; passed < END_MS && !kill(worst, 0); passed += SHORTEST_MS)
        pause_ms(SHORTEST_MS);
}

static long least(long one, long other) { return one < other ? one : other; }

/* The bytes in a file such as memory.max; -1 if there is no limit, or no file. */
static long bytes_of(int file) {
    char text[64];
    if (file < 0 || !read_again(file, text, sizeof text) || !isdigit((unsigned char)*text)) return -1;
    return strtol(text, NULL, 10);
}

static int open_in(const char *group, const char *file) {
    char path[PATH_LENGTH + 64];
    snprintf(path, sizeof path, GROUPS "%s/%s", group, file);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void remember(const char *group) {
    int file = open_in(group, "memory.max");
    long limit = bytes_of(file);
    if (file >= 0) close(file);
    if (limit < 0) return;
    if (count_limited == room_limited) {
        struct limited *more = realloc(limited, (room_limited + 64) * sizeof *more);
        if (!more) return;
        limited = more, room_limited += 64;
    }
    struct limited *added = &limited[count_limited++];
    snprintf(added->group, sizeof added->group, "%s", group);
    added->limit = limit;
    added->usage = open_in(group, "memory.current");
}

/* Remembers the limited ones of a cgroup and those below it, the innermost first, as limits of
 * containers are to be met before those of pods. */
static void walk(const char *group) {
    char path[PATH_LENGTH + 64];
    snprintf(path, sizeof path, GROUPS "%s", group);
    /* Before its content is read, so that nothing is missed. */
    inotify_add_watch(changes, path, IN_CREATE | IN_DELETE | IN_MODIFY | IN_ONLYDIR);
    DIR *children = opendir(path);
    for (struct dirent *entry; children && (entry = readdir(children));) {
        if (entry->d_type != DT_DIR || *entry->d_name == '.') continue;
        char child[PATH_LENGTH];
        if (snprintf(child, sizeof child, "%s/%s", group, entry->d_name) < (int)sizeof child)
            walk(child);
    }
    if (children) closedir(children);
    if (children) remember(group);
}

/* Looks at all cgroups. They change seldom, and system calls are what an idle machine pays for. */
static void look_at_cgroups(void) {
    while (count_limited) close(limited[--count_limited].usage);
    if (changes >= 0) close(changes);
    changes = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    inotify_add_watch(changes, GROUPS, IN_CREATE | IN_ONLYDIR);
    walk(PODS);
}

/* Returns the bytes that are left below the nearest limit. */
static long check(void) {
    long left = LONG_MAX;
    for (size_t number = 0; number < count_limited; number++) {
        struct limited *each = &limited[number];
        long used = bytes_of(each->usage);
        if (used <= each->limit) {
            left = least(left, each->limit - used);
            continue;
        }
        char why[128];
        snprintf(why, sizeof why, "the limit of %ld MiB of %.48s is reached", each->limit >> 20,
                 each->group);
        kill_worst(each->group, why);
        /* What killed processes had is freed a little later. */
        for (int passed = 0; passed < END_MS && bytes_of(each->usage) > each->limit;
             passed += SHORTEST_MS)
            pause_ms(SHORTEST_MS);
        left = 0;
    }
    return left;
}

static int is_full(long free) { return free <= total_kib / 256; }

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    for (int changed = 1;;) {
        if (changed) look_at_cgroups();
        long left = check() / 1024;
        long free = free_kib();
        if (is_full(free)) {
            kill_worst("", "the machine has no memory left");
            for (int passed = 0; passed < END_MS && is_full(free = free_kib());
                 passed += SHORTEST_MS)
                pause_ms(SHORTEST_MS);
        }
        long interval = least(left, free) / KIB_PER_MS;
        interval = interval < SHORTEST_MS ? SHORTEST_MS : least(interval, LONGEST_MS);
        struct pollfd change = {changes, POLLIN, 0};
        changed = poll(&change, 1, interval) > 0;
        /* Changes come in groups. */
        if (changed) pause_ms(SHORTEST_MS);
    }
}
