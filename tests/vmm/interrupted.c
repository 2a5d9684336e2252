/* Opens a FIFO, as runc's containers do while they wait for their start, and is interrupted. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t interruptions;

static void interrupted(int number)
{
    (void)number;
    interruptions++;
}

int main(void)
{
    struct sigaction action = {.sa_handler = interrupted, .sa_flags = SA_RESTART};
    struct itimerval often = {.it_interval.tv_usec = 20000, .it_value.tv_usec = 20000};
    int flags[2] = {O_RDONLY, O_WRONLY};

    for (int i = 0; i < 2; i++) {
        char path[] = "/run/fifo0";
        path[9] += i;
        mkfifo(path, 0600);
        if (fork() == 0) {
            /* Long enough for interruptions. */
            usleep(300000);
            _exit(open(path, flags[!i]) < 0);
        }
        interruptions = 0;
        sigaction(SIGALRM, &action, NULL);
        setitimer(ITIMER_REAL, &often, NULL);
        if (open(path, flags[i]) < 0)
            perror(path);
        else
            printf("%s opened after %s\n", path, interruptions ? "signals" : "none");
        setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    }
    return 0;
}
