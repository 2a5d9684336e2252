"""Changes of gVisor's processor time, which counts what the host used.

Upstream's sentry charges up to one running task for each of its processors with 10 ms of processor
time at each tick of 10 ms. A machine that has used its quota is held back by the host, sentry
included, until the next period of 20 ms: tasks were charged for that time as well.

The sentry reads from the host what it and its stub processes, which run the guest's code, have
used, and charges the tasks of a tick for that. It reads only at ticks at which a task runs, and
only the clocks of stub processes that had a task awake since.
"""

from typing import Final

from monopod.build.components.replacement import Replacement

_TICKER: Final = "pkg/sentry/kernel/task_sched.go"
_START: Final = "func (k *Kernel) runCPUClockTicker() {\n"
_BUDGET: Final = """\
// cpuBudget is the CPU time that the host counted and no task was charged for yet.
type cpuBudget struct {
	// clock is nil if the platform cannot tell; tasks are then charged for whole ticks.
	clock interface{ CPUTime() time.Duration }
	// used is what clock showed last.
	used time.Duration
	owed time.Duration
	// most bounds owed, which grows while the sentry works and no task runs.
	most time.Duration
	// since is the time of the last tick, or when tasks began to run after it.
	since time.Time
}

// share returns what to charge each of the given number of tasks for at a tick.
func (b *cpuBudget) share(tasks int) time.Duration {
	if b.clock == nil {
		return linux.ClockTick
	}
	now := time.Now()
	passed := now.Sub(b.since)
	b.since = now
	if tasks == 0 {
		return 0
	}
	used := b.clock.CPUTime()
	b.owed = min(b.owed+used-b.used, b.most)
	b.used = used
	return min(b.owed/time.Duration(tasks), passed)
}

"""
_CONCURRENCY: Final = "\tconcurrencyCount := k.ConcurrencyCount()\n\n"
_MAKE: Final = """\
	budget := cpuBudget{
		most:  10 * linux.ClockTick * time.Duration(k.applicationCores),
		since: time.Now(),
	}
	budget.clock, _ = k.Platform.(interface{ CPUTime() time.Duration })

"""
_WAIT: Final = "\t\t\t\tk.runningTasksCond.Wait()\n"
_COUNTS: Final = "\t\tvar userTickInc, userSysTickInc int64\n"
_APP: Final = "\t\t\t\tt.appCPUClock.Add({0})\n\t\t\t\tt.tg.appCPUClockLast.Store(t)\n"
_APP_GROUP: Final = "\t\t\t\tt.tg.appCPUClock.Add({0})\n"
_SYS: Final = "\t\t\t\tt.appSysCPUClock.Add({0})\n\t\t\t\tt.tg.appSysCPUClockLast.Store(t)\n"
_SYS_GROUP: Final = "\t\t\t\tt.tg.appSysCPUClock.Add({0})\n"
_USER: Final = "k.userCPUClock.Add(userTickInc * {0}.Nanoseconds())\n"
_USER_SYS: Final = "k.userSysCPUClock.Add(userSysTickInc * {0}.Nanoseconds())\n"
_TICK: Final = "linux.ClockTick"

_SUBPROCESS: Final = "pkg/sentry/platform/systrap/subprocess.go"
_TYPE: Final = "// subprocess is a collection of threads being traced.\n"
_CLOCKS: Final = """\
// stubs has all subprocesses but dead ones. They are not destroyed, but used again.
var stubs struct {
	mu sync.Mutex
	// +checklocks:mu
	all []*subprocess
	// used is the CPU time that was read of them.
	// +checklocks:mu
	used time.Duration
}

// cpuClock is the host's clock of a process's CPU time.
type cpuClock struct {
	id int32
	// read is what it showed last.
	read time.Duration
}

// advance returns how far the clock advanced since it was read; 0 if its process ended.
func (c *cpuClock) advance() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(c.id, &now); err != nil {
		return 0
	}
	before := c.read
	c.read = time.Duration(now.Nano())
	return c.read - before
}

// CPUTime returns the CPU time that the host has counted for the sentry and all subprocesses. What
// a subprocess used is seen once a context of it was awake.
func (*Systrap) CPUTime() time.Duration {
	stubs.mu.Lock()
	defer stubs.mu.Unlock()
	for _, s := range stubs.all {
		if !s.awoke.Swap(false) && s.awake.Load() == 0 {
			continue
		}
		for i := range s.clocks {
			stubs.used += s.clocks[i].advance()
		}
	}
	sentry := cpuClock{id: unix.CLOCK_PROCESS_CPUTIME_ID}
	return stubs.used + sentry.advance()
}

// count has CPUTime count one of the subprocess's processes: each of its threads is one.
func (s *subprocess) count(pid int32) {
	const sched = 2 // CPUCLOCK_SCHED
	stubs.mu.Lock()
	defer stubs.mu.Unlock()
	if len(s.clocks) == 0 {
		dead := func(each *subprocess) bool { return each.dead.Load() }
		stubs.all = append(slices.DeleteFunc(stubs.all, dead), s)
	}
	s.clocks = append(s.clocks, cpuClock{id: ^pid<<3 | sched})
	s.awoke.Store(true)
}

"""
_DEAD: Final = "\t// dead indicates whether the subprocess is alive or not.\n"
_FIELDS: Final = """\
	// clocks has those of its threads, and is protected by stubs.mu.
	clocks []cpuClock
	// awake is the number of contexts that do not sleep, and awoke whether one was awake since
	// clocks were read. Unlike contextQueue, subprocesses cannot write them.
	awake atomicbitops.Int32
	awoke atomicbitops.Bool

"""
_REQUEST: Final = "func (s *subprocess) handlePtraceSyscallRequest(req any) {\n"
_MADE: Final = "\tsp.sysmsgInitRegs = ptraceThread.initRegs\n"
_STARTED: Final = "\ts.sysmsgThreadsMu.Lock()\n\ts.sysmsgThreads[threadID] = sysThread\n"
_AWAKE: Final = "\tnr := atomic.AddUint32(&s.contextQueue.numAwakeContexts, 1)\n"
_ASLEEP: Final = "\tnr := atomic.AddUint32(&s.contextQueue.numAwakeContexts, ^uint32(0))\n"


def _charge(text: str, amount: str = "share") -> Replacement:
    return Replacement(_TICKER, text.format(_TICK), text.format(amount))


CPU: Final = (
    Replacement(_TICKER, _START, _BUDGET + _START),
    Replacement(_TICKER, _CONCURRENCY, _CONCURRENCY.rstrip("\n") + "\n" + _MAKE),
    Replacement(_TICKER, _WAIT, _WAIT + "\t\t\t\tbudget.since = time.Now()\n"),
    Replacement(_TICKER, _COUNTS, f"{_COUNTS}\t\tshare := budget.share(numIncTasks)\n"),
    *map(_charge, (_APP, _APP_GROUP, _SYS, _SYS_GROUP, _USER)),
    Replacement(
        _TICKER,
        _USER_SYS.format(_TICK),
        f"{_USER_SYS.format('share')}\t\t\tbudget.owed -= time.Duration(userSysTickInc) * share\n",
    ),
    Replacement(_SUBPROCESS, '\t"runtime"\n', '\t"runtime"\n\t"slices"\n'),
    Replacement(_SUBPROCESS, '\t"sync/atomic"\n', '\t"sync/atomic"\n\t"time"\n'),
    Replacement(_SUBPROCESS, _TYPE, _CLOCKS + _TYPE),
    Replacement(_SUBPROCESS, _DEAD, _FIELDS + _DEAD),
    Replacement(_SUBPROCESS, _REQUEST, _REQUEST + "\ts.awoke.Store(true)\n"),
    Replacement(_SUBPROCESS, _MADE, _MADE + "\tsp.count(ptraceThread.tgid)\n"),
    Replacement(_SUBPROCESS, _STARTED, "\ts.count(p.tgid)\n" + _STARTED),
    Replacement(_SUBPROCESS, _AWAKE, "\ts.awake.Add(1)\n\ts.awoke.Store(true)\n" + _AWAKE),
    Replacement(_SUBPROCESS, _ASLEEP, "\ts.awake.Add(-1)\n" + _ASLEEP),
)
