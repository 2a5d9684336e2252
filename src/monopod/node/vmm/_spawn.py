"""Starts a machine's VMM and logger as daemons. Run as a script, never imported.

It joins the machine's cgroups, and becomes what the kernel kills first if the host has no memory
left, before any program of the machine runs, and reparents the programs to
process 1, so that they outlive their launcher and init reaps them. It imports little of the
standard library and nothing else, because it starts once for each machine.

Standard input is the JSON ``{"cgroups": [procs files], "limits": {resource: number}, "logger":
{"argv", "directory"}, "vmm": {"argv", "fds": [numbers to keep]}}``; the logger reads the VMM's
output. The exit status is 0 once both run.
"""

import json
import os
import resource
import sys


def main() -> None:
    """Join the cgroups, connect VMM and logger by a pipe, and start both."""
    wanted = json.load(sys.stdin)
    for procs in wanted["cgroups"]:
        # Not a plain write of text: a failing close would go unnoticed.
        descriptor = os.open(procs, os.O_WRONLY)
        os.write(descriptor, b"0")
        os.close(descriptor)
    # The host kills a machine, not the control plane, whose score this process has inherited.
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:  # noqa: PTH123
        score.write("500")
    null = os.open(os.devnull, os.O_RDWR)
    read_end, write_end = os.pipe()
    logger, vmm = wanted["logger"], wanted["vmm"]
    for descriptor in vmm["fds"]:
        # They were inherited; the logger must not get them.
        os.set_inheritable(descriptor, False)
    _detach(logger["argv"], {}, [read_end, null, null], [], logger["directory"])
    _detach(vmm["argv"], wanted["limits"], [null, write_end, write_end], vmm["fds"], "/")


def _detach(
    argv: list[str],
    limits: dict[str, int],
    streams: list[int],
    kept: list[int],
    directory: str,
) -> None:
    """Run a program in a new session, reparented to process 1.

    The pipe closes on a successful exec, and otherwise carries the error.
    """
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        try:
            os.chdir(directory)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            for descriptor in kept:
                os.set_inheritable(descriptor, True)
            for name, limit in limits.items():
                resource.setrlimit(getattr(resource, name), (limit, limit))
            os.execvp(argv[0], argv)  # noqa: S606 - the list is whole
        except BaseException as error:
            os.write(write_end, f"{argv[0]}: {error}".encode())
            os._exit(1)
    os.close(write_end)
    os.wait()
    failure = os.read(read_end, 4096)
    os.close(read_end)
    if failure:
        sys.exit(failure.decode())


if __name__ == "__main__":
    main()
